'use strict';

// The bad-day bench on its cheapest row, shortened: it runs, it counts, and its tables can be made.

const { NAMES } = require('../bench/bad-day/contenders');
const { audit } = require('../bench/bad-day/ledger');
const { parseOptions } = require('../bench/bad-day/options');
const { ROWS, chooseRows } = require('../bench/bad-day/rows');
const { runRow } = require('../bench/bad-day/run-row');
const { markdownReport, textReport } = require('../bench/bad-day/table');
const { toldBy } = require('../bench/bad-day/told');

test('a row is run for each contender, no write is lost or doubled, and the tables show it', async () => {
  const rows = chooseRows(['refused-1s']);
  const contenders = ['pg + loop', 'getPool()'];
  const result = await runRow(rows[0], { contenders, before: 0.2, down: 0.2, after: 0.8 });
  expect(result.cells.map(({ contender }) => contender)).toEqual(contenders);
  for (const cell of result.cells) {
    expect(cell).toMatchObject({ unanswered: 0, doubled: 0, lost: 0, misreported: 0 });
    expect(cell.requests).toBeGreaterThan(cell.failed);
  }
  const report = {
    results: [result],
    measurements: [],
    skipped: [],
    rows,
    environment: ['here'],
    command: 'bench',
  };
  expect(textReport(report)).toContain(rows[0].title);
  for (const name of contenders) expect(markdownReport(report)).toContain(`| ${name} |`);
}, 60_000);

test('the ledger tells writes that were doubled, lost or misreported', () => {
  const written = (key, told) => ({ kind: 'insert', key, told });
  const records = [
    written('a', 'done'),
    written('b', 'done'),
    written('c', 'done'),
    written('d', 'unsent'),
    written('e', 'ambiguous'),
    { kind: 'read', key: 'f', told: 'done' },
  ];
  const times = new Map(Object.entries({ a: 1, b: 2, d: 1, e: 1 }));
  expect(audit(records, times)).toEqual({ ambiguous: 1, doubled: 1, lost: 1, misreported: 1 });
});

test('what an error says of its statement is read by code and message', () => {
  const error = (message, fields) => Object.assign(new Error(message), fields);
  expect(toldBy(error('connect ECONNRESET', { code: 'ECONNRESET', syscall: 'connect' }))).toBe('unsent');
  expect(toldBy(error('timeout exceeded when trying to connect'))).toBe('unsent');
  expect(toldBy(error('read ECONNRESET', { code: 'ECONNRESET', syscall: 'read' }))).toBe('ambiguous');
  expect(toldBy(error('Connection terminated unexpectedly'))).toBe('ambiguous');
  expect(toldBy(error('no space left', { code: '53100' }))).toBe('rejected');
});

test('rows and switches are complete, and what is unknown is told', () => {
  expect(new Set(ROWS.map(({ name }) => name)).size).toBe(ROWS.length);
  for (const row of ROWS)
    expect(row).toMatchObject({ title: expect.any(String), story: expect.stringMatching(/\.$/) });
  expect(parseOptions(['--bad-day', '--quick']).rows).toEqual(ROWS);
  expect(() => parseOptions(['--bad-day', '--rows', 'nothing', '--rate', 'x', '--contenders', 'y'])).toThrow(
    new RegExp(`contenders knows ${NAMES[0]}[^]*rows knows[^]*rate must be`),
  );
});
