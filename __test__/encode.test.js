'use strict';

// Parameters, and the layout of a request: values become what pg makes of them, and what is packed
// says what was asked.

const { execFileSync } = require('node:child_process');
const path = require('node:path');
const vm = require('node:vm');
const fc = require('fast-check');
const pg = require('pg');
const pgUtils = require('pg/lib/utils');
const defaults = require('../lib/defaults');
const utils = require('../lib/utils');
const { prepareValue } = require('../lib/encode/prepare-value');
const { escapeIdentifier, escapeLiteral } = require('../lib/encode/escape');
const TypeOverrides = require('../lib/type-overrides');
const { pack } = require('../lib/encode/request');
require('./support/patience');

const LIB = path.join(__dirname, '..', 'lib');

// What a conversion gives, or the error it throws. The text of a TypeError is the engine's, and names
// variables of the code.
function outcome(prepare, value) {
  try {
    return prepare(value);
  } catch (error) {
    return error instanceof TypeError ? 'TypeError' : `${error.name}: ${error.message}`;
  }
}

const scalar = fc.oneof(
  fc.anything({ maxDepth: 0, withBigInt: true }),
  fc.string({ unit: 'binary' }),
  fc.stringMatching(/^[a"\\{},é ]{0,12}$/),
  fc.date({ min: new Date('-004000-01-01'), max: new Date('9999-12-31') }),
  fc.uint8Array(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.float32Array(),
  fc.uint8Array({ minLength: 4 }).map((bytes) => new DataView(bytes.buffer, 2, 2)),
  fc.constantFrom(null, undefined, Symbol.for('s'), 10n ** 30n, -0, NaN, Infinity, () => 1),
);
const { nested } = fc.letrec((tie) => ({
  nested: fc.oneof(
    { depthSize: 'small' },
    { weight: 3, arbitrary: scalar },
    fc.array(tie('nested')),
    fc.dictionary(fc.string(), tie('nested')),
    tie('nested').map((value) => ({ toPostgres: () => value })),
  ),
}));

describe('a parameter is converted as pg converts it', () => {
  test('whatever it is', () => {
    fc.assert(
      fc.property(nested, (value) => {
        expect(outcome(prepareValue, value)).toEqual(outcome(pgUtils.prepareValue, value));
      }),
      { numRuns: 3000 },
    );
  });

  test.each(['Asia/Kolkata', 'America/St_Johns', 'Europe/Berlin'])(
    'a date in a process whose zone is %s',
    (zone) => {
      const script = `
      const ours = require(${JSON.stringify(path.join(LIB, 'encode/prepare-value.js'))}).prepareValue;
      const theirs = require('pg/lib/utils').prepareValue;
      let different = 0;
      for (let i = 0; i < 20000; i++) {
        const date = new Date((i - 8000) * 8640000000 * 0.7 + i * 12345677);
        if (ours(date) !== theirs(date)) different++;
      }
      console.log(different);`;
      const out = execFileSync(process.execPath, ['-e', script], {
        cwd: __dirname,
        env: { ...process.env, TZ: zone },
      });
      expect(String(out)).toBe('0\n');
    },
  );

  test('a date where parseInputDatesAsUTC is set', () => {
    const date = new Date(Date.UTC(-44, 2, 15, 11, 5, 6, 7));
    defaults.parseInputDatesAsUTC = true;
    try {
      expect(prepareValue(date)).toBe('0045-03-15T11:05:06.007+00:00 BC');
    } finally {
      defaults.parseInputDatesAsUTC = false;
    }
  });

  test('a date of another realm', () => {
    expect(prepareValue(vm.runInNewContext('new Date(0)'))).toBe(prepareValue(new Date(0)));
  });

  test('an invalid date, which is warned of once', () => {
    const script = `
      const { prepareValue } = require(${JSON.stringify(path.join(LIB, 'encode/prepare-value.js'))});
      process.on('warning', ({ name, code }) => console.log(name, code));
      prepareValue(new Date(NaN));
      console.log(prepareValue([new Date(NaN)]));`;
    const out = execFileSync(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    expect(String(out)).toBe(
      '{"0NaN-NaN-NaNTNaN:NaN:NaN.NaN+NaN:NaN"}\nDeprecationWarning PG_INVALID_DATE\n',
    );
  });

  test('an object whose toPostgres goes round in a circle', () => {
    const circle = { toPostgres: () => ({ toPostgres: () => circle }), toString: () => 'the circle' };
    expect(() => prepareValue(circle)).toThrow(
      new Error('circular reference detected while preparing "the circle" for query'),
    );
    const wrapped = { toPostgres: (prepare) => prepare([1, circle]) };
    expect(() => prepareValue(wrapped)).toThrow('circular reference');
  });

  test('an object whose toPostgres throws', () => {
    const failure = new Error('not today');
    expect(() =>
      prepareValue({
        toPostgres() {
          throw failure;
        },
      }),
    ).toThrow(failure);
  });
});

describe('a packed request', () => {
  // Reads what `pack` wrote, by the description in docs/design/boundary.md.
  function unpack({ buffer, length }) {
    const word = (i) => buffer.readUInt32LE(i * 4);
    const [textEnd, count] = [24 + word(1), word(3)];
    const nameEnd = textEnd + word(2);
    let at = nameEnd + count;
    const values = [];
    for (let i = 0; i < count; i++) {
      const size = buffer.readInt32BE(at);
      at += 4;
      const bytes = Buffer.from(buffer.subarray(at, at + Math.max(0, size)));
      at += bytes.length;
      if (size === -1) values.push(null);
      else values.push(buffer[nameEnd + i] === 1 ? bytes : bytes.toString());
    }
    expect(at).toBe(length);
    return {
      text: buffer.toString('utf8', 24, textEnd),
      name: buffer.toString('utf8', textEnd, nameEnd),
      values,
      flags: word(0),
      queryTimeout: word(4),
      rows: word(5),
    };
  }

  const request = (over) => ({
    text: '',
    name: '',
    values: undefined,
    flags: 0,
    queryTimeout: 0,
    rows: 0,
    ...over,
  });
  // As Buffer writes it: a lone surrogate is replaced.
  const sent = (value) => (typeof value === 'string' ? Buffer.from(value).toString() : value);

  test('says what was asked, whatever it is', () => {
    const statement = fc.string({ unit: 'binary', maxLength: 400 }).map((text) => text.replaceAll('\0', '.'));
    const parameter = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.string({ size: 'large', maxLength: 6000 }),
      fc.integer(),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.constant(null),
      fc.array(fc.string()),
    );
    const word = fc.nat({ max: 0xffffffff });
    const shape = {
      text: statement,
      name: statement,
      values: fc.array(parameter),
      flags: word,
      queryTimeout: word,
      rows: word,
    };
    fc.assert(
      fc.property(fc.record(shape), (asked) => {
        const read = unpack(pack(asked));
        expect(read).toEqual({
          ...asked,
          text: sent(asked.text),
          name: sent(asked.name),
          values: asked.values.map((value) => sent(pgUtils.prepareValue(value))),
        });
      }),
      { numRuns: 500 },
    );
  });

  test('has no parameters where there are no values', () => {
    expect(unpack(pack(request({ text: 'SELECT 1' }))).values).toEqual([]);
  });

  test('may be larger than the buffer that is kept', () => {
    const large = 'é'.repeat(1_500_000);
    const values = [large, Buffer.alloc(2_000_000, 7), 'end'];
    const read = unpack(pack(request({ text: 'SELECT $1, $2, $3', values }))).values;
    expect(read.map((value, i) => Buffer.from(value).equals(Buffer.from(values[i])))).toEqual([
      true,
      true,
      true,
    ]);
    const next = pack(request({ text: 'SELECT 1' }));
    expect(next.buffer.length).toBeLessThan(1_100_000);
    expect(unpack(next).text).toBe('SELECT 1');
  });

  test('uses its buffer again', () => {
    const first = pack(request({ text: 'SELECT 1' })).buffer;
    expect(pack(request({ text: 'SELECT 2' })).buffer).toBe(first);
  });

  test('is not disturbed by a request that a conversion makes meanwhile', () => {
    const inner = {
      toPostgres: () => unpack(pack(request({ text: 'SELECT inner', values: ['x'.repeat(50)] }))).text,
    };
    const read = unpack(pack(request({ text: 'SELECT outer', name: 'n', values: ['first', inner, 'last'] })));
    expect(read).toMatchObject({
      text: 'SELECT outer',
      name: 'n',
      values: ['first', 'SELECT inner', 'last'],
    });
  });

  test('fails with the error of a conversion, and the next one is whole', () => {
    const failure = new Error('not today');
    expect(() =>
      pack(
        request({
          values: [
            {
              toPostgres() {
                throw failure;
              },
            },
          ],
        }),
      ),
    ).toThrow(failure);
    expect(unpack(pack(request({ text: 'SELECT 1', values: [2] }))).values).toEqual(['2']);
  });

  test.each([['text'], ['name']])('has no zero byte in its %s', (part) => {
    expect(() => pack(request({ [part]: 'a\0b' }))).toThrow(
      'invalid byte sequence: a statement must not contain a zero byte',
    );
  });

  test('has no more parameters than the protocol can count', () => {
    expect(unpack(pack(request({ values: Array(65535).fill('x') }))).values).toHaveLength(65535);
    expect(() => pack(request({ values: Array(65536).fill('x') }))).toThrow(
      'a query takes at most 65535 parameters, not 65536',
    );
  });
});

describe('small parts of the surface of pg', () => {
  test('identifiers and literals are escaped as pg escapes them', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a'"\\\u00e9]{0,12}$/), (given) => {
        expect(escapeIdentifier(given)).toBe(pg.escapeIdentifier(given));
        expect(escapeLiteral(given)).toBe(pg.escapeLiteral(given));
      }),
    );
    for (const given of [null, undefined, 5, {}, ["'"]])
      expect(escapeLiteral(given)).toBe(pg.escapeLiteral(given));
  });

  test('utils has what utils of pg has', () => {
    expect(Object.keys(utils)).toEqual(Object.keys(pgUtils));
    expect([1, { toPostgres: () => 'x' }].map(utils.prepareValue)).toEqual(['1', 'x']);
    const callback = () => {};
    for (const given of [
      ['a'],
      ['a', [1]],
      ['a', callback],
      ['a', [1], callback],
      [{ text: 'a' }, null, callback],
    ]) {
      const copy = () => given.map((part) => (part && part.text ? { ...part } : part));
      expect(utils.normalizeQueryConfig(...copy())).toEqual(pgUtils.normalizeQueryConfig(...copy()));
    }
  });

  test('overrides of type parsers come before those of the registry below them', () => {
    const parse = () => 'mine';
    for (const Overrides of [TypeOverrides, pg.TypeOverrides]) {
      const below = { getTypeParser: (oid, format) => `${oid} ${format}` };
      const overrides = new Overrides(below);
      overrides.setTypeParser(1, parse);
      overrides.setTypeParser(2, 'binary', parse);
      const found = [[1], [1, 'text'], [1, 'binary'], [2], [2, 'binary'], [3, 'odd']].map((given) =>
        overrides.getTypeParser(...given),
      );
      expect(found).toEqual([parse, parse, '1 binary', '2 text', parse, '3 odd']);
      expect(Object.keys(overrides)).toEqual(['_types', 'text', 'binary']);
      expect(new Overrides().getTypeParser(23)('5')).toBe(5);
    }
  });
});
