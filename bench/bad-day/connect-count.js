'use strict';

// How many TCP connects were begun, by the kernel's count: refused ones and unanswered ones are in it. The count is
// of a network namespace, so it says something only where the row has one of its own (see isolation.js).

const fs = require('node:fs');

const COUNTERS = '/proc/net/snmp';

/** @returns {number|null} null where nothing tells it */
function connectsBegun(isIsolated) {
  if (!isIsolated) return null;
  const [names, values] = fs
    .readFileSync(COUNTERS, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('ActiveOpens')]);
}

module.exports = { connectsBegun };
