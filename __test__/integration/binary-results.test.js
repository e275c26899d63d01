'use strict';

// `binary: true`: the values of both formats are the same, whatever bytes they are made of. Apart from
// them stand numeric and the elements of int8 arrays, of which pg-types makes numbers in binary.

const fc = require('fast-check');
const { Client, types } = require('../../index.js');
const { config } = require('../support/server');

const INT4 = 2 ** 31;
const EXTREMES = {
  timestamptz: [
    'infinity',
    '-infinity',
    '0044-03-15 BC',
    '1969-12-31 23:59:59.999999+00',
    '0001-01-01 00:00:00+00',
    '275760-09-13 00:00:00+00',
  ],
  timestamp: [
    'infinity',
    '-infinity',
    '1990-05-06 07:08:09.123456',
    '0099-01-01 00:00:00',
    '2024-02-29 23:59:59.999',
  ],
  date: ['infinity', '-infinity', '0050-06-01', '1582-10-15', '1999-12-31', '2400-02-29'],
  float8: ['NaN', 'Infinity', '-Infinity', '1e-310', '-0', '1.7976931348623157e308'],
  float4: ['NaN', '-Infinity', '1.5', '0'],
  oid: ['0', '4294967295', '2147483648'],
  bytea: ['\\x', '\\x00c8ff80', '\\x7f'],
  uuid: ['00000000-0000-0000-0000-00000000abcd', 'ffffffff-8080-c3a9-0102-030405060708'],
  int8: ['-9223372036854775808', '9223372036854775807'],
  text: ['', 'é', 'ab\u0001c'],
};
const ARRAYS = {
  int4: '{-1,NULL,2147483647}',
  int2: '{{1,-2},{3,4}}',
  text: '{é,NULL,""}',
  varchar: '{a}',
  bool: '{t,f}',
  float8: '{-2.5,NaN}',
  bytea: '{"\\\\x00ff"}',
  date: '{1990-05-06,infinity}',
  uuid: '{ffffffff-8080-c3a9-0102-030405060708}',
  oid: '{4294967295}',
};

let client;

beforeAll(async () => {
  client = new Client(config());
  await client.connect();
});

afterAll(() => client.end());

async function both(type, values) {
  const text = `SELECT v::${type} AS v FROM unnest($1::text[]) WITH ORDINALITY u(v, n) ORDER BY n`;
  const read = async (binary) =>
    (await client.query({ text, values: [values], binary })).rows.map(({ v }) => v);
  return [await read(false), await read(true)];
}

// Microseconds hang onto the dates of binary results only.
const plain = (value) => (value instanceof Date ? ['date', value.getTime()] : value);

describe('a binary result has the values of the text result', () => {
  test.each(Object.entries(EXTREMES))('at the ends of %s', async (type, values) => {
    const [text, binary] = await both(type, [...values, null]);
    expect(binary.map(plain)).toEqual(text.map(plain));
  });

  test.each(Object.entries(ARRAYS))('in arrays of %s', async (type, literal) => {
    const [text, binary] = await both(`${type}[]`, [literal, null]);
    expect(binary).toEqual(text);
  });

  test.each([
    ['int4', fc.integer({ min: -INT4, max: INT4 - 1 })],
    ['float8', fc.double()],
    [
      'timestamptz',
      fc
        .date({ min: new Date(-62e12), max: new Date(200e12), noInvalidDate: true })
        .map((date) => date.toISOString().replace(/^\+0*/, '')),
    ],
    ['bytea', fc.uint8Array().map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`)],
    ['uuid', fc.uuid()],
    ['text', fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '.'))],
  ])('for any %s', async (type, arbitrary) => {
    await fc.assert(
      fc.asyncProperty(fc.array(arbitrary, { minLength: 1, maxLength: 80 }), async (values) => {
        const [text, binary] = await both(type, values.map(String));
        expect(binary.map(plain)).toEqual(text.map(plain));
      }),
      { numRuns: 25 },
    );
  });
});

test('numeric is the number nearest to it', async () => {
  const values = [
    '0',
    '-12.5',
    '0.00012',
    '123.45',
    '1e20',
    '1e-20',
    '12345678901234567890.123',
    '10000',
    '99990000.0001',
    'NaN',
  ];
  const [text, binary] = await both('numeric', values);
  expect(binary).toEqual(text.map(Number));
});

test('a Date carries the microseconds that it cannot hold', async () => {
  const [, [date]] = await both('timestamptz', ['2020-01-02 03:04:05.678912+00']);
  expect([date.getTime(), date.usec, date.getMicroSeconds()]).toEqual([
    Date.UTC(2020, 0, 2, 3, 4, 5, 678),
    912,
    912,
  ]);
});

test('a parser of the application gets the bytes', async () => {
  const before = types.getTypeParser(17, 'binary');
  types.setTypeParser(17, 'binary', (bytes) => bytes.toString('hex'));
  try {
    expect((await both('bytea', ['\\x00c8']))[1]).toEqual(['00c8']);
  } finally {
    types.setTypeParser(17, 'binary', before);
  }
});
