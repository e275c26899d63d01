'use strict';

// Decodes the same rows with pg and with lib/decode and prints the first difference, or how many
// values were the same. A program of its own because the time zone of a process, and whether it may
// generate code, are settled when it starts.

const { inspect, isDeepStrictEqual } = require('node:util');
const fc = require('fast-check');
const { Client } = require('pg');
const { config } = require('./server');
const { columnsOf, rowsFrame } = require('./frame-writer');
const Shape = require('../../lib/decode/row-description');
const Result = require('../../lib/result');

const ROWS = 50;
const SERVER_ZONES = ['UTC', 'Asia/Kolkata', 'America/St_Johns', 'Europe/Amsterdam'];

const raw = { getTypeParser: () => (text) => text };

const one = (...texts) => fc.constantFrom(...texts);
const digits = (low, high) => fc.integer({ min: low, max: high }).map(String);
const bigDigits = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
const double = fc.double().map((n) => (Object.is(n, -0) ? '-0' : String(n)));
// PostgreSQL has no zero byte in text, and no lone surrogates.
const string = fc
  .oneof(fc.string({ maxLength: 70 }), fc.string({ unit: 'grapheme', maxLength: 40 }))
  .map((text) => text.replaceAll('\0', ''));
const ascii = fc.stringMatching(/^[ -~]{0,60}$/);
const two = (low, high) => digits(low, high).map((text) => text.padStart(2, '0'));
const date = fc
  .oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(
        fc.oneof(digits(1, 9999), digits(1, 120), digits(1800, 2100)),
        two(1, 12),
        two(1, 28),
        one('', '', '', ' BC'),
      ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ['4', '02', '29', ''],
        ['9999', '12', '31', ''],
        ['12345', '06', '07', ''],
        ['275760', '09', '13', ''],
      ),
    },
  )
  .map(([year, month, day, era]) => [
    `${year.padStart(4, '0')}-${month}-${day}`,
    Number(year) > 4000 ? '' : era,
  ]);
const fraction = fc.oneof(
  one('', '.5', '.001', '.999999'),
  digits(0, 999999).map((text) => '.' + text.padStart(6, '0')),
);
const time = fc
  .tuple(two(0, 23), two(0, 59), two(0, 59), fraction)
  .map(([h, m, s, f]) => `${h}:${m}:${s}${f}`);
const dateText = fc.oneof(
  { weight: 9, arbitrary: date.map((parts) => parts.join('')) },
  one('infinity', '-infinity'),
);
const stamp = (zone) =>
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .tuple(date, time, zone)
        .map(([[day, era], clock, offset]) => `${day} ${clock}${offset}${era}`),
    },
    one('infinity', '-infinity'),
  );
const interval = fc
  .tuple(fc.integer({ min: -900, max: 900 }), fc.integer({ min: -40, max: 40 }), time, one('', '-'))
  .map(([months, days, clock, sign]) => `${months} months ${days} days ${sign}${clock}`);
const json = fc
  .jsonValue({ maxDepth: 3 })
  .map((value) => JSON.stringify(value))
  .filter((text) => !text.includes('\\u0000') && !/\\ud[89a-f]/i.test(text));
const hex = fc.uint8Array({ maxLength: 40 }).map((bytes) => '\\x' + Buffer.from(bytes).toString('hex'));
const point = fc.tuple(double, double).map(([x, y]) => `(${x},${y})`);

const types = {
  int2: digits(-32768, 32767),
  int4: digits(-(2 ** 31), 2 ** 31 - 1),
  int8: bigDigits,
  oid: digits(0, 2 ** 31 - 1),
  float4: fc.float().map(String),
  float8: double,
  numeric: fc.oneof(bigDigits, one('NaN', '1.50', '-0.001', '12345678901234567890.5')),
  money: digits(-1e6, 1e6),
  bool: one('t', 'f'),
  bytea: hex,
  text: string,
  varchar: ascii,
  bpchar: ascii,
  name: ascii,
  '"char"': one('a', 'Z', ''),
  'varchar(20)': one('abc', 'äöü', 'déjà vu', ''),
  'char(16)': one('short', 'ünïcode'),
  uuid: fc.uuid(),
  json,
  jsonb: json,
  date: dateText,
  timestamp: stamp(one('')),
  timestamptz: stamp(one('', 'Z', '+05:30', '-11', '+00:19:32')),
  time,
  timetz: fc.tuple(time, one('+01', '-03:30')).map((parts) => parts.join('')),
  interval,
  point,
  circle: fc.tuple(point, digits(0, 99)).map(([center, radius]) => `<${center},${radius}>`),
  box: fc.tuple(point, point).map((parts) => parts.join(',')),
  inet: one('10.0.0.1', '::1', '192.168.0.0/24'),
  cidr: one('10.0.0.0/8', '2001:db8::/32'),
  macaddr: one('08:00:2b:01:02:03'),
  int4range: one('[1,5)', 'empty', '(,7]'),
  tsvector: one("'a':1 'b':2", ''),
  bit: one('1', '0'),
  varbit: one('', '10101'),
};
const arrays = [
  'int2',
  'int4',
  'int8',
  'oid',
  'float4',
  'float8',
  'numeric',
  'money',
  'bool',
  'bytea',
  'text',
  'varchar',
  'bpchar',
  'uuid',
  'json',
  'jsonb',
  'date',
  'timestamp',
  'timestamptz',
  'time',
  'timetz',
  'interval',
  'point',
  'inet',
  'cidr',
  'macaddr',
  'int4range',
];

/** A statement and its values: rows of one column per type, and of one array column per type of `arrays`. */
function sample(seed) {
  const columns = Object.entries(types).map(([type, arbitrary]) => ({
    type,
    expression: (n) => `v${n}::${type}`,
    texts: fc.sample(fc.option(arbitrary, { freq: 6 }), { numRuns: ROWS, seed }),
  }));
  for (const type of arrays) {
    const element = fc.option(types[type], { freq: 5 });
    columns.push({
      type: `${type}[]`,
      expression: (n) => `v${n}::${type}[]`,
      texts: fc.sample(fc.option(fc.array(element, { maxLength: 4 }).map(literal), { freq: 6 }), {
        numRuns: ROWS,
        seed: seed + 1,
      }),
    });
  }
  const names = columns.map((_, n) => `v${n}`);
  const text = `SELECT ${columns.map(({ type, expression }, n) => `${expression(n)} AS "${type.replaceAll('"', '')}"`).join(', ')}
    FROM unnest(${names.map((_, n) => `$${n + 1}::text[]`).join(', ')}) AS t(${names.join(', ')})`;
  return { text, values: columns.map(({ texts }) => literal(texts)) };
}

function literal(elements) {
  return `{${elements.map((text) => (text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`)).join(',')}}`;
}

const show = (value) =>
  inspect(value, { depth: null, maxArrayLength: null, maxStringLength: null, breakLength: 120 });

let compared = 0;

function same(expected, actual, what) {
  compared++;
  // Two dates that are no date are equal as text only, hence both.
  if (isDeepStrictEqual(expected, actual) || show(expected) === show(actual)) return;
  throw new Error(`${what}: pg has ${show(expected)}, lib/decode has ${show(actual)}`);
}

/** Compares the rows of `text` under every way of decoding them. */
async function compare(client, text, values, typesOf = () => undefined) {
  const delivered = await client.query({ text, values, types: raw, rowMode: 'array' });
  const columns = columnsOf(delivered.fields);
  for (const rowMode of ['array', undefined]) {
    const expected = await client.query({ text, values, rowMode, types: typesOf() });
    for (const short of [true, false]) {
      const shape = new Shape(1, columns);
      // The rows of the third result come from generated code, if there can be any.
      for (const times of [1, Math.ceil(80 / (delivered.rows.length || 1)), 1]) {
        const result = new Result(rowMode, typesOf());
        result.open(shape);
        for (let i = 0; i < times; i++) {
          const { frame, word } = rowsFrame(columns, delivered.rows, short);
          result.append(frame, word);
          frame.bytes.fill(0x7a);
        }
        const rows = result.rows.slice(-delivered.rows.length || undefined);
        rows.forEach((row, r) => {
          const keys = Object.keys(expected.rows[r]);
          same(keys, Object.keys(row), `the keys of row ${r}`);
          for (const key of keys)
            same(expected.rows[r][key], row[key], `row ${r}, ${key} (${delivered.fields[key]?.name ?? ''})`);
        });
        same(expected.rows.length, rows.length, 'the number of rows');
        same(
          expected.fields.map((field) => ({ ...field })),
          result.fields.map((field) => ({ ...field })),
          'the fields',
        );
        same(expected._prebuiltEmptyResultObject, result._prebuiltEmptyResultObject, 'the empty row');
      }
    }
  }
}

async function main() {
  const [seed, database] = process.argv.slice(2);
  const client = new Client(config({ database }));
  await client.connect();
  try {
    for (const [i, zone] of SERVER_ZONES.entries()) {
      await client.query(`SET timezone = '${zone}'`);
      const { text, values } = sample(Number(seed) + i);
      await compare(client, text, values);
      await compare(client, text, values, () => ({ getTypeParser: () => (given) => [given] }));
    }
    await client.query("SET datestyle = 'SQL, DMY'");
    await compare(
      client,
      "SELECT date '2024-03-01' AS a, timestamp '2024-03-01 12:00' AS b, timestamptz '2024-03-01 12:00' AS c",
      [],
    );
    await client.query('SET bytea_output = escape');
    await compare(client, "SELECT '\\x00ff5c41'::bytea AS a, 'x'::bytea AS b, ''::bytea AS c", []);
  } finally {
    await client.end();
  }
  console.log(`${compared} values are the same`);
}

if (require.main === module) {
  main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}

module.exports = { compare, sample, show, SERVER_ZONES };
