// What is measured: each scenario names its operation, callers and pool size,
// and each metric says what is better. A metric with `ratio` is compared with
// pg's figure of the same round.
'use strict';

const THROUGHPUT = { key: 'throughput', title: 'per second', digits: 0, better: 'higher', ratio: true };
const P50 = { key: 'p50', title: 'p50 ms', digits: 3, better: 'lower', ratio: true };
const P99 = { key: 'p99', title: 'p99 ms', digits: 3, better: 'lower', ratio: true };
const PROCESS_CPU = { key: 'processCpu', title: 'process CPU µs', digits: 1, better: 'lower', ratio: true };
const THREAD_CPU = { key: 'threadCpu', title: 'JS thread CPU µs', digits: 1, better: 'lower', ratio: true };
const LAG_P99 = { key: 'lagP99', title: 'timer lag p99 ms', digits: 1, better: 'lower', ratio: true };
const LAG_MAX = { key: 'lagMax', title: 'timer lag max ms', digits: 1, better: 'lower', ratio: true };
const BATCH = { key: 'p50', title: 'ms for all 20', digits: 0, better: 'lower', ratio: true };

const FULL = [P50, P99, THROUGHPUT, PROCESS_CPU, THREAD_CPU];
const LATENCY = [P50, P99];
const BULK = [P50, THROUGHPUT, PROCESS_CPU, THREAD_CPU];
const POOL = 10;

function scenario(name, group, title, operation, callers, metrics, extra = {}) {
  return { name, group, title, operation, callers, pool: POOL, metrics, ...extra };
}

const SCENARIOS = [
  scenario('lookup-1', 'lookup', 'One-row lookup by key, 1 caller', 'lookup', 1, FULL),
  scenario('lookup-10', 'lookup', 'One-row lookup by key, 10 callers', 'lookup', 10, FULL),
  scenario('lookup-100', 'lookup', 'One-row lookup by key, 100 callers', 'lookup', 100, FULL),
  scenario('insert-1', 'insert', 'Insert of one row, 1 caller', 'insert', 1, FULL),
  scenario('insert-10', 'insert', 'Insert of one row, 10 callers', 'insert', 10, FULL),
  scenario('rows-1', 'rows', '1,000 rows of 10 mixed columns, one after the other', 'rows', 1, FULL, {
    rows: 1_000,
  }),
  scenario('rows-4', 'rows', '1,000 rows of 10 mixed columns, 4 callers', 'rows', 4, FULL, { rows: 1_000 }),
  scenario('arrays', 'rows', 'The same rows as arrays, one after the other', 'arrays', 1, FULL, {
    rows: 1_000,
  }),
  scenario('many', 'large', '100,000 rows of 5 columns', 'many', 1, BULK, { rows: 100_000 }),
  scenario('many-arrays', 'large', 'The same rows as arrays', 'manyArrays', 1, BULK, { rows: 100_000 }),
  scenario('texts', 'large', '10,000 rows of 2 texts of 1 KB', 'texts', 1, BULK, { rows: 10_000 }),
  scenario('bytea', 'large', 'One bytea of 10 MB', 'bytes', 1, BULK, { rows: 10_000_000 }),
  scenario('acquire', 'pool', '100 times an idle connection acquired and released', 'acquire', 1, FULL),
  scenario('start', 'pool', 'A new pool of 10 to its 10 answers, and its end', 'start', 1, BULK, {
    rows: 10,
  }),
  scenario('transaction-1', 'transaction', 'Transaction of 4 statements, 1 caller', 'transaction', 1, FULL),
  scenario(
    'transaction-10',
    'transaction',
    'Transaction of 4 statements, 10 callers',
    'transaction',
    10,
    FULL,
  ),
  scenario('list-10', 'transaction', 'The same handed over as a list, 10 callers', 'list', 10, FULL),
  // As many connections as results, so that all of them arrive at once.
  scenario(
    'delay',
    'delay',
    'Event-loop delay while 20 results of 5,000 x 10 rows arrive',
    'rows',
    20,
    [LAG_P99, LAG_MAX, BATCH, THREAD_CPU],
    {
      rows: 5_000,
      pool: 20,
      samplesTimer: true,
    },
  ),
  scenario('copy-in', 'bulk', 'COPY of 100,000 rows in (pg-copy-streams)', 'copyIn', 1, BULK, {
    rows: 100_000,
  }),
  scenario('copy-out', 'bulk', 'COPY of 100,000 rows out (pg-copy-streams)', 'copyOut', 1, BULK, {
    rows: 100_000,
  }),
  scenario('query-stream', 'bulk', '100,000 rows through pg-query-stream', 'queryStream', 1, BULK, {
    rows: 100_000,
  }),
  scenario('cursor', 'bulk', '100,000 rows through pg-cursor, 100 at a time', 'cursor', 1, BULK, {
    rows: 100_000,
  }),
  scenario('stream', 'bulk', '100,000 rows through pool.stream (pg: pg-query-stream)', 'stream', 1, BULK, {
    rows: 100_000,
  }),
  scenario('connect', 'assessment', 'Connection: new client, SELECT 1, end', 'connect', 1, LATENCY),
  scenario('simple', 'assessment', 'Simple query: SELECT 1', 'simple', 1, LATENCY),
  scenario('complex', 'assessment', 'Complex query: join and aggregate', 'complex', 1, LATENCY),
];

const GROUPS = [...new Set(SCENARIOS.map(({ group }) => group))];

// Operations that write to the table of events.
const WRITES = new Set(['insert', 'transaction', 'list']);

// The four figures of the assessment; its insert is the insert of one caller.
const ASSESSMENT = ['connect', 'simple', 'complex', 'insert-1'];

// With no list, all. `assessment` brings its insert along.
function chooseScenarios(only) {
  if (only === undefined) return SCENARIOS;
  const unknown = only.filter(
    (word) => !SCENARIOS.some(({ name, group }) => word === name || word === group),
  );
  if (unknown.length > 0) {
    throw new Error(
      `--case knows ${SCENARIOS.map(({ name }) => name).join(', ')} and the groups ${GROUPS.join(', ')}; not ${unknown.join(', ')}`,
    );
  }
  return SCENARIOS.filter(
    ({ name, group }) =>
      only.includes(name) ||
      only.includes(group) ||
      (only.includes('assessment') && ASSESSMENT.includes(name)),
  );
}

module.exports = { SCENARIOS, ASSESSMENT, GROUPS, WRITES, chooseScenarios };
