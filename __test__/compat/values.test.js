'use strict';

// Values on their way through real pools, pg's and ours, in both directions: what is sent arrives as
// the same, what arrives is decoded to the same.

const { randomInt } = require('node:crypto');
const fc = require('fast-check');
const pg = require('pg');
const ours = require('../../index.js');
const { config } = require('../support/server');
const { sample, show, SERVER_ZONES } = require('../support/compare-decoding');

let pools;

beforeAll(() => {
  // Their sessions have settings that both keep.
  pools = [pg, ours].map(({ Pool }) => new Pool(config({ max: 1, idleTimeoutMillis: 0 })));
});

afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
});

// What a query answers, or the error it fails with, as text.
async function outcome(pool, query) {
  try {
    const { rows, fields, command, rowCount, oid } = await pool.query(query);
    return show({ rows, fields: fields.map((field) => ({ ...field })), command, rowCount, oid });
  } catch (error) {
    // The text of a TypeError is the engine's, and names variables of the code.
    return error instanceof TypeError
      ? 'TypeError'
      : show([error.name, error.message, error.code, error.position]);
  }
}

async function expectSame(query) {
  const [expected, actual] = [await outcome(pools[0], query), await outcome(pools[1], query)];
  expect(actual).toBe(expected);
}

describe.each(SERVER_ZONES)('with a server in %s', (zone) => {
  const seed = randomInt(2 ** 31);
  const { text, values } = sample(seed);

  beforeAll(async () => {
    for (const pool of pools) await pool.query(`SET timezone = '${zone}'`);
  });

  test.each([
    ['objects', undefined],
    ['arrays', 'array'],
  ])(`values of all types arrive the same, rows as %s (seed ${seed})`, async (_, rowMode) => {
    await expectSame({ text, values, rowMode });
    // The second time the statement is known to the connection.
    await expectSame({ text, values, rowMode });
  });

  test(`and by the simple protocol (seed ${seed})`, async () => {
    await expectSame(text.replace(/\$(\d+)/g, (_, n) => pg.escapeLiteral(values[n - 1])));
  });

  test(`and through parsers of the application (seed ${seed})`, async () => {
    const types = { getTypeParser: (oid, format) => (given) => [oid, format, given] };
    await expectSame({ text, values, types });
  });

  test(`and page by page (seed ${seed})`, async () => {
    await expectSame({ text, values, rows: 7 });
  });
});

// What random values hardly ever hit: the ends of ranges, and forms of text that are not the plain one.
test.each([
  [
    'timestamp',
    [
      '4713-01-01 00:00 BC',
      '0001-01-01',
      '0099-12-31 23:59:59.999999',
      '131072-01-01 00:00:00.001',
      '200001-07-08 01:02:03.457',
      '275760-09-13 00:00:00.001',
      '294276-12-31 23:59:59.999999',
      '1969-12-31 23:59:59.999999',
      '1970-01-01',
      '2024-02-29 12:00',
      'infinity',
      '-infinity',
    ],
  ],
  [
    'timestamptz',
    [
      '4713-01-01 00:00+00 BC',
      '0001-01-01 00:00+00',
      '0099-12-31 23:59:59.999999+00',
      '131072-01-01 00:00:00.001+00',
      '275760-09-13 00:00:00+00',
      '275760-09-13 00:00:00.001+00',
      '294276-12-31 00:00+00',
      '1969-12-31 23:59:59.999999+00',
      '1883-11-18 12:03:58+00',
      '1893-04-01 00:00+00:53:28',
      'infinity',
      '-infinity',
    ],
  ],
  [
    'date',
    [
      '4713-01-01 BC',
      '0001-01-01',
      '0100-01-01',
      '131072-02-03',
      '275760-09-14',
      '5874897-12-31',
      '2024-03-31',
      '2024-11-03',
      'infinity',
      '-infinity',
    ],
  ],
  [
    'float8',
    [
      'NaN',
      'Infinity',
      '-Infinity',
      '-0',
      '5e-324',
      '1.7976931348623157e308',
      '9007199254740993',
      '0.1',
      '1e21',
      '1e-7',
    ],
  ],
  ['float4', ['NaN', 'Infinity', '-Infinity', '-0', '1e-45', '3.4028235e38', '0.1', '16777217', '1e21']],
  ['int4', ['-2147483648', '2147483647', '0', '-1']],
  ['int2', ['-32768', '32767']],
  ['oid', ['0', '4294967295']],
  ['int8', ['-9223372036854775808', '9223372036854775807', '-0']],
  ['bool', ['t', 'f']],
  ['bytea', ['\\x', '\\x00', `\\x${'ff'.repeat(5000)}`]],
  [
    'text',
    [
      '',
      'x'.repeat(12),
      'x'.repeat(13),
      'x'.repeat(24),
      'x'.repeat(25),
      'é'.repeat(12),
      '\ufeffbom',
      '\u0001',
      '\u{10ffff}',
      'x'.repeat(300000),
    ],
  ],
])('the ends of %s arrive the same, whatever the style of dates and bytes', async (type, texts) => {
  const text = `SELECT v::${type} AS value FROM unnest($1::text[]) AS v`;
  const settings = [
    "bytea_output = 'hex'",
    "bytea_output = 'escape'",
    "datestyle = 'German'",
    "datestyle = 'SQL, MDY'",
    "datestyle = 'Postgres'",
    'extra_float_digits = 0',
    'extra_float_digits = -5',
    "datestyle = 'ISO'",
    'extra_float_digits = 1',
    "bytea_output = 'hex'",
  ];
  for (const setting of settings) {
    for (const pool of pools) await pool.query(`SET ${setting}`);
    await expectSame({ text, values: [texts] });
    await expectSame({ text, values: [[null, ...texts, null]], rowMode: 'array' });
  }
});

describe('values that are sent', () => {
  const string = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\0', ''));
  const date = fc.date({ min: new Date('-004000-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
  const bytes = fc.uint8Array();
  const element = fc.oneof(string, fc.integer(), fc.boolean(), fc.constant(null));

  test.each([
    [
      'text',
      fc.oneof(
        string,
        fc.integer(),
        fc.double(),
        fc.boolean(),
        fc.bigInt(),
        fc.constantFrom(null, undefined),
      ),
    ],
    [
      'bytea',
      fc.oneof(
        bytes,
        bytes.map((given) => Buffer.from(given)),
        fc.float64Array(),
        bytes.map((given) => new DataView(given.buffer)),
      ),
    ],
    ['timestamptz', date],
    ['timestamp', date],
    ['text[]', fc.array(element)],
    ['text[]', fc.array(fc.tuple(element, element), { minLength: 1 })],
    ['bytea[]', fc.array(fc.oneof(bytes, fc.constant(null)))],
    ['timestamptz[]', fc.array(date)],
    [
      'jsonb',
      fc.dictionary(
        fc.stringMatching(/^[a-zé"\\ ]*$/),
        fc.oneof(string, fc.integer(), date, fc.array(fc.boolean())),
      ),
    ],
    ['text', string.map((given) => ({ toPostgres: () => given }))],
    ['int4', fc.oneof(fc.integer(), fc.double(), string)],
  ])('as %s', async (type, values) => {
    await fc.assert(
      fc.asyncProperty(values, (value) =>
        expectSame({
          text: `SELECT $1::${type} AS value, pg_typeof($1::${type})::text AS type`,
          values: [value],
        }),
      ),
      { numRuns: 60 },
    );
  });

  test('many at once, with NULL among them', async () => {
    const values = Array.from({ length: 1000 }, (_, i) =>
      i % 7 === 0 ? null : i % 3 === 0 ? Buffer.from([i & 255]) : `value ${i}`,
    );
    const text = `SELECT ${values.map((value, i) => `$${i + 1}::${value instanceof Buffer ? 'bytea' : 'text'} AS c${i}`).join(', ')}`;
    await expectSame({ text, values });
  });

  test('of many megabytes', async () => {
    const large = 'grüße '.repeat(500_000);
    for (const pool of pools) {
      const { rows } = await pool.query('SELECT $1::text AS text, $2::bytea AS bytes', [
        large,
        Buffer.alloc(3_000_000, 7),
      ]);
      expect(rows[0].text === large && rows[0].bytes.equals(Buffer.alloc(3_000_000, 7))).toBe(true);
    }
  });

  test('whose conversion fails', async () => {
    const circle = { toPostgres: () => circle, toString: () => 'circle' };
    for (const value of [
      circle,
      {
        toPostgres() {
          throw new Error('not today');
        },
      },
      [{ toJSON: () => undefined }],
    ]) {
      await expectSame({ text: 'SELECT $1::text', values: [value] });
    }
  });

  test('nested in a query of a conversion', async () => {
    const [, pool] = pools;
    let inner;
    const value = {
      toPostgres: () => ((inner = pool.query('SELECT $1::text AS value', ['inner'])), 'outer'),
    };
    const outer = await pool.query('SELECT $1::text AS value', [value]);
    expect([outer.rows, (await inner).rows]).toEqual([[{ value: 'outer' }], [{ value: 'inner' }]]);
  });
});

describe('parsers of the registry', () => {
  test('set by the application take effect on the next result, also of a statement in use', async () => {
    const { types } = ours;
    const builtIn = types.getTypeParser(23);
    const read = async () => (await pools[1].query('SELECT $1::int4 AS value', [5])).rows[0].value;
    expect(await read()).toBe(5);
    try {
      types.setTypeParser(23, (text) => `<${text}>`);
      expect(await read()).toBe('<5>');
    } finally {
      types.setTypeParser(23, builtIn);
    }
    expect(await read()).toBe(5);
  });

  test('that throw fail the query with that error, and the connection goes on', async () => {
    const failure = new Error('unreadable');
    const types = {
      getTypeParser: () => () => {
        throw failure;
      },
    };
    for (const pool of pools) {
      await expect(pool.query({ text: 'SELECT 1 AS a', types })).rejects.toBe(failure);
      expect((await pool.query('SELECT 2 AS a')).rows).toEqual([{ a: 2 }]);
    }
  });
});
