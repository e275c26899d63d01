'use strict';

// The small measurements beside the rows: each gives a table of its own, `{ title, story, lines }`.

const { Stage, directly } = require('../stage');
const { measureRoundTrips } = require('./round-trips');
const { measureHalfOpen, measureHopeless, measureSilent } = require('./waits');

const ALL = [measureRoundTrips, measureHalfOpen, measureSilent, measureHopeless];

/** One after another, on one server. */
async function measureAll(settings) {
  const stage = new Stage();
  const tables = [];
  try {
    await directly()(stage);
    for (const measure of ALL) tables.push(await measure(stage, settings));
  } finally {
    await stage.close();
  }
  return tables;
}

module.exports = { measureAll };
