'use strict';

// Decoding, without the core: rows that pg delivers are laid out as frames and must come out as pg
// decodes them.

const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');
const v8 = require('node:v8');
const vm = require('node:vm');
const pg = require('pg');
const { config } = require('./support/server');
const { until } = require('./support/until');
const { columnsOf, rowsFrame } = require('./support/frame-writer');
const { compare } = require('./support/compare-decoding');
const Shape = require('../lib/decode/row-description');
const Result = require('../lib/result');

const COMPARISON = path.join(__dirname, 'support', 'compare-decoding.js');
const run = promisify(execFile);

let client;

beforeAll(async () => {
  client = new pg.Client(config());
  await client.connect();
});

afterAll(async () => {
  await client.end();
});

const text = (name, dataTypeID = 25) => ({
  name,
  tableID: 0,
  columnID: 0,
  dataTypeID,
  dataTypeSize: -1,
  dataTypeModifier: -1,
  format: 'text',
});

// The rows as decoded with the parsers of `types`, by generated code if there are enough of them.
function decode(
  fields,
  rows,
  { types, rowMode, shape = new Shape(1, columnsOf(fields)), short = true } = {},
) {
  const result = new Result(rowMode, types);
  result.open(shape);
  const { frame, word } = rowsFrame(columnsOf(fields), rows, short);
  result.append(frame, word);
  return result.rows;
}

describe('random values of all built-in types are decoded as pg decodes them', () => {
  const compareAll = (seed, zone, ...flags) =>
    run(process.execPath, [...flags, COMPARISON, String(seed), config().database], {
      env: { ...process.env, TZ: zone },
    });

  test.each([
    ['UTC', 1],
    ['Europe/Berlin', 20],
    ['America/New_York', 300],
  ])('in a process whose zone is %s', async (zone, seed) => {
    const { stdout } = await compareAll(seed, zone);
    expect(stdout).toMatch(/^\d{6} values are the same\n$/);
  });

  test('in a process that may not generate code', async () => {
    const { stdout } = await compareAll(4, 'UTC', '--disallow-code-generation-from-strings');
    expect(stdout).toMatch(/^\d{6} values are the same\n$/);
  });
});

describe('rows have the keys that rows of pg have', () => {
  test.each([
    ['two columns of one name', 'SELECT 1 AS a, 2 AS b, null::int AS a, 4 AS b, 5 AS c'],
    [
      'names that objects know',
      'SELECT 1 AS "__proto__", 2 AS constructor, 3 AS "toString", null AS "hasOwnProperty"',
    ],
    ['names that are integers', 'SELECT \'x\' AS "7", 2 AS b, 3 AS "0", 4 AS "-1", 5 AS "4294967295"'],
    [
      'names that would break code',
      `SELECT 1 AS "a'b", 2 AS "c""d", 3 AS "e\\f", 4 AS "g\nh\u2028", 5 AS "\${i}", 6 AS "*/", 7 AS "é"`,
    ],
    ['no columns', 'SELECT FROM generate_series(1, 3)'],
    ['no rows', 'SELECT 1 AS a WHERE false'],
    ['very many columns', `SELECT ${Array.from({ length: 300 }, (_, i) => `${i} AS c${i}`).join(', ')}`],
    ['nameless columns', "SELECT 1, 2, 'three'"],
  ])('%s', async (_, statement) => {
    await compare(client, statement);
  });

  test('__proto__ is an own property and changes no prototype', () => {
    const rows = decode([text('__proto__')], Array(100).fill(['x']));
    expect(
      rows.every((row) => Object.getPrototypeOf(row) === Object.prototype && Object.hasOwn(row, '__proto__')),
    ).toBe(true);
  });
});

describe('type parsers', () => {
  const fields = [text('a', 23), text('b', 1184), text('c'), text('d', 16), text('e', 17)];
  const row = ['12', '2024-05-06 07:08:09.123456+02', 'grüße', 't', '\\x00ff'];

  test.each([1, 100])(
    'of the application get exactly the text of the server, in the order of the columns (%i rows)',
    (count) => {
      const calls = [];
      const types = {
        getTypeParser: (oid, format) => (given) => {
          calls.push([oid, format, given]);
          return calls.length;
        },
      };
      const nulls = row.map((value, i) => (i % 2 === 0 ? null : value));
      const rows = decode(fields, [...Array(count).fill(row), nulls], { types });
      const expected = fields.map((field, i) => [field.dataTypeID, 'text', row[i]]);
      expect(calls).toEqual([...Array(count).fill(expected).flat(), expected[1], expected[3]]);
      expect(rows.at(-1)).toEqual({ a: null, b: calls.length - 1, c: null, d: calls.length, e: null });
    },
  );

  test('beside built-in ones in the same row', () => {
    const types = {
      getTypeParser: (oid) => (oid === 1184 ? (given) => `<${given}>` : pg.types.getTypeParser(oid)),
    };
    const rows = decode(fields, Array(100).fill(row), { types });
    expect(rows[99]).toEqual({ a: 12, b: `<${row[1]}>`, c: 'grüße', d: true, e: Buffer.from([0, 255]) });
  });

  test('that are set between two results take effect on the second', () => {
    const shape = new Shape(1, columnsOf(fields));
    const types = new pg.TypeOverrides();
    expect(decode(fields, Array(100).fill(row), { types, shape })[99].a).toBe(12);
    types.setTypeParser(23, (given) => `#${given}`);
    expect(decode(fields, [row], { types, shape })[0].a).toBe('#12');
    types.setTypeParser(23, (given) => `##${given}`);
    expect(decode(fields, [row], { types, shape })[0].a).toBe('##12');
  });

  test('and row modes alternate on one shape', () => {
    const shape = new Shape(1, columnsOf(fields));
    const types = { getTypeParser: () => (given) => given.length };
    for (let i = 0; i < 200; i++) {
      expect(decode(fields, [row], { shape, types })[0]).toEqual({ a: 2, b: 29, c: 5, d: 1, e: 6 });
      expect(decode(fields, [row], { shape, rowMode: 'array' })[0][0]).toBe(12);
      expect(decode(fields, [row], { shape })[0].a).toBe(12);
    }
  });

  test.each([1, 100])('that throw stop the decoding with that very error (%i rows)', (count) => {
    const failure = new Error('no such thing');
    const types = {
      getTypeParser: () => () => {
        throw failure;
      },
    };
    expect(() => decode(fields, Array(count).fill(row), { types })).toThrow(failure);
  });

  test('of binary columns get a copy of the bytes', () => {
    const field = { ...text('a', 17), format: 'binary' };
    const bytes = Buffer.from([0, 128, 255, 7]);
    const types = { getTypeParser: (oid, format) => (format === 'binary' ? (given) => given : undefined) };
    for (const count of [1, 100]) {
      const [{ a }] = decode([field], Array(count).fill([bytes]), { types });
      expect(a).toEqual(bytes);
      expect(Buffer.isBuffer(a)).toBe(true);
    }
    expect(decode([field], [[null]], { types })).toEqual([{ a: null }]);
  });

  test('of pg-types for binary values read them', () => {
    const fields = [
      { ...text('a', 23), format: 'binary' },
      { ...text('b'), format: 'binary' },
      { ...text('c', 1043), format: 'binary' },
    ];
    expect(decode(fields, [[Buffer.from([0, 0, 0, 200]), Buffer.from('ä'), Buffer.from('ö')]])).toEqual([
      { a: 200, b: 'ä', c: 'ö' },
    ]);
  });
});

test.each([1, 100])('NaN, NULL and infinity are told apart (%i rows)', (count) => {
  const fields = [text('a', 701), text('b', 1184), text('c', 1082), text('d', 16)];
  const rows = decode(fields, Array(count).fill(['NaN', '-infinity', 'infinity', null]));
  expect(rows[count - 1]).toEqual({ a: NaN, b: -Infinity, c: Infinity, d: null });
  expect(decode(fields, Array(count).fill([null, null, null, 'f']))[count - 1]).toEqual({
    a: null,
    b: null,
    c: null,
    d: false,
  });
});

test('a value that is kept does not keep its frame in memory', async () => {
  v8.setFlagsFromString('--expose-gc');
  const collect = vm.runInNewContext('gc');
  const used = () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const fields = ['short', 'long', 'longer', 'foreign', 'bytes'].map((name) =>
    text(name, name === 'bytes' ? 17 : 25),
  );
  const row = [
    'a short one',
    'a text of 20 letters',
    'x'.repeat(60),
    'ä'.repeat(20),
    '\\x' + 'ab'.repeat(5000),
  ];
  const shape = new Shape(1, columnsOf(fields));
  const kept = [];
  const before = used();
  for (let i = 0; i < 300; i++) {
    const rows = decode(fields, Array(30).fill(row), { shape, short: i % 2 === 0 });
    const { short, long, longer, foreign } = rows[20];
    kept.push(short, long, longer, foreign);
  }
  // The frames together have ninety megabytes. They are given back in the background.
  await until(() => used() - before < 5_000_000);
  expect(kept).toHaveLength(1200);
});

describe('a result', () => {
  const PgResult = require('pg/lib/result');

  test.each([undefined, 'array'])(
    'has the own properties of one of pg, in that order (row mode %s)',
    (rowMode) => {
      const types = new pg.TypeOverrides();
      const expected = new PgResult(rowMode, types);
      const actual = new Result(rowMode, types);
      expect(Object.keys(actual)).toEqual(Object.keys(expected));
      actual.open(new Shape(1, columnsOf([text('a')])));
      expect(Object.keys(actual)).toEqual(Object.keys(expected));
    },
  );

  test.each([
    'SELECT 5',
    'INSERT 0 3',
    'UPDATE 0',
    'CREATE TABLE',
    'BEGIN',
    'FETCH 12',
    'COPY 9007',
    'SELECT',
    '',
  ])('takes from the tag "%s" what one of pg takes', (tag) => {
    const expected = new PgResult();
    expected.addCommandComplete({ text: tag, command: '' });
    const actual = new Result();
    actual.complete(tag);
    expect({ ...actual }).toEqual({ ...expected });
  });

  test.each([undefined, 'array'])('can be filled by hand as one of pg (row mode %s)', (rowMode) => {
    const [expected, actual] = [new PgResult(rowMode), new Result(rowMode)].map((result) => {
      result.addFields([text('a', 23), text('b'), text('a', 16)]);
      result.addRow(result.parseRow(['1', null, 't']));
      result.addRow(result.parseRow([null, 'x', null]));
      result.addCommandComplete({ text: 'SELECT 2' });
      return JSON.stringify([Object.entries(result), result._parsers.map((parse) => parse('1'))]);
    });
    expect(actual).toBe(expected);
  });

  test('has an array of fields of its own', () => {
    const shape = new Shape(1, columnsOf([text('a')]));
    const first = new Result();
    first.open(shape);
    first.fields.push('more');
    const second = new Result();
    second.open(shape);
    expect(second.fields).toHaveLength(1);
  });
});
