// Before anything is measured, every contender answers the same fixed calls and
// must return the rows that pg returns: a fast wrong answer is no answer. The
// rows it inserts are read back by the bench's own client.
'use strict';

const { READ_EVENTS, emptyEvents } = require('./schema');
const { digest } = require('./row-digest');
const { REFERENCE } = require('./results');

// Resolves with a list of differences, each in one line.
async function verify(contenders, config, client) {
  const answers = new Map();
  const checked = contenders.filter((contender) => typeof contender.check === 'function');
  for (const contender of checked) {
    await emptyEvents(client);
    let answer;
    try {
      answer = await contender.check(config);
    } catch (error) {
      return [`${contender.name}: the check failed: ${error.message}`];
    }
    if ('connect' in answer) answer.insert = digest((await client.query(READ_EVENTS)).rows);
    answers.set(contender.name, answer);
  }
  const expected = answers.get(REFERENCE);
  return checked.flatMap(({ name }) => differences(name, answers.get(name), expected));
}

function differences(name, answer, expected) {
  const found = [];
  for (const [call, { hash, texts }] of Object.entries(answer)) {
    if (hash === expected[call].hash) continue;
    const row = Math.max(
      0,
      expected[call].texts.findIndex((text, index) => text !== texts[index]),
    );
    found.push(
      `${name}: ${call}: row ${row} is ${texts[row]} where ${REFERENCE} gives ${expected[call].texts[row]}`,
    );
  }
  return found;
}

module.exports = { verify };
