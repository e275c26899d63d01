'use strict';

// The figures of one cell: a contender on one bad day.

const { quantile } = require('../statistics');
const { audit } = require('./ledger');

const HUNDRED = 100;

/**
 * @param records of the load
 * @param {{ down: number, up: number, over: number, opened: number|null, times: Map }} seen when the fault began and
 *   when the server served again, when the load was over, connects in between, and what the table holds
 */
function figuresOf(records, { down, up, over, opened, times }) {
  const settled = records.filter(({ ended }) => ended !== null);
  const succeeded = settled.filter(({ told }) => told === 'done');
  const failed = settled.filter(({ told }) => told !== 'done');
  const after = succeeded
    .map(({ ended }) => ended - up)
    .filter((millis) => millis >= 0)
    .sort((a, b) => a - b);
  // A client in somebody's hands is neither slow nor quick.
  const isTimed = ({ kind }) => kind !== 'lent';
  const lastFailure = Math.max(...failed.map(({ ended }) => ended - up));
  return {
    requests: records.length,
    failed: records.length - succeeded.length,
    failedReads: records.filter(({ kind, told }) => kind === 'read' && told !== 'done').length,
    unanswered: records.length - settled.length,
    ...audit(records, times),
    longest: Math.max(0, ...records.filter(isTimed).map(({ begun, ended }) => (ended ?? over) - begun)),
    first: after[0] ?? null,
    hundredth: after[HUNDRED - 1] ?? null,
    lastFailure: lastFailure > 0 ? lastFailure : null,
    connects: opened === null ? null : (opened * 1000) / Math.max(up - down, 1),
    p99:
      succeeded.length === 0
        ? null
        : quantile(
            succeeded.filter(isTimed).map(({ begun, ended }) => ended - begun),
            0.99,
          ),
    reasons: countBy(failed, ({ error }) => error),
  };
}

function countBy(items, nameOf) {
  const counts = {};
  for (const item of items) counts[nameOf(item)] = (counts[nameOf(item)] ?? 0) + 1;
  return counts;
}

module.exports = { figuresOf };
