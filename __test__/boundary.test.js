'use strict';

// The numbers of the boundary: lib/native/layout.js, the core's own and docs/design/boundary.md say the same.

const fs = require('node:fs');
const path = require('node:path');
const { fromNative } = require('../lib/errors');
const layout = require('../lib/native/layout');
const native = require('../lib/native');

const document = fs.readFileSync(path.join(__dirname, '../docs/design/boundary.md'), 'utf8');

/** The tables of the document, each as `{ title, columns, rows }`; the title is the heading above it. */
function tables() {
  const found = [];
  let title;
  let table;
  for (const line of document.split('\n')) {
    if (line.startsWith('#')) title = line.replace(/^#+ /, '');
    if (!line.startsWith('|')) {
      table = undefined;
      continue;
    }
    const cells = line.slice(1, -1).split('|');
    const values = cells.map((cell) => cell.trim());
    if (table === undefined) {
      table = { title, columns: values, rows: [] };
      found.push(table);
    } else if (!/^-+$/.test(values[0])) table.rows.push(values);
  }
  return found;
}

/** The numbers by name of the table under `title` whose first column is `column`. */
function numbers(title, column) {
  const found = tables().filter((one) => one.title === title && one.columns[0] === column);
  expect([title, found.length]).toEqual([title, 1]);
  expect(found[0].columns[1]).toBe('name');
  return Object.fromEntries(found[0].rows.map(([number, name]) => [bare(name), Number(bare(number))]));
}

const bare = (text) => text.replaceAll('`', '');

/** The number that stands in the text as `number` (`NAME`). */
function mentioned(name) {
  const [, number] = new RegExp(`\`?(0x[0-9a-f]+|\\d+)\`?\\s[^(|]*\\(\`${name}\`\\)`).exec(document);
  return Number(number);
}

/** The names of the table under `title`, by the names of constants. */
function names(title, column) {
  const found = tables().filter((one) => one.title === title && one.columns[0] === column);
  const texts = found.flatMap(({ rows }) => rows.map(([name]) => bare(name)));
  const constant = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  return Object.fromEntries(texts.map((name) => [constant(name), name]));
}

test('JavaScript and the core have the same numbers', () => {
  expect(layout).toEqual(JSON.parse(native.Bridge.layout()));
});

test('the document has every call', () => {
  const [{ rows }] = tables().filter(({ title }) => title === 'Calls into Rust');
  const documented = {};
  let object;
  for (const [first, calls] of rows) {
    if (first !== '') object = bare(first);
    documented[object] ??= [];
    const names = [...calls.matchAll(/`(?:new )?(\w+)/g)].map(([, name]) => name);
    documented[object].push(...names.filter((name) => name !== object));
  }
  const own = (target, known) => Object.getOwnPropertyNames(target).filter((name) => !known.includes(name));
  const isOfFunctions = ['length', 'name', 'prototype', 'arguments', 'caller'];
  const exported = Object.entries(native).map(([name, type]) => {
    return [name, [...own(type.prototype, ['constructor']), ...own(type, isOfFunctions)].sort()];
  });
  const sorted = Object.entries(documented).map(([name, calls]) => [name, calls.sort()]);
  expect(Object.fromEntries(sorted)).toEqual(Object.fromEntries(exported));
});

test('every kind of error becomes an error of its own', () => {
  const { AGGREGATE, NO_RETRY, PLAIN, ...kinds } = layout.ERROR_KINDS;
  const classOf = (kind) =>
    fromNative({ kind, message: 'm', code: 'ECONNRESET', syscall: 'read' }).constructor;
  expect([classOf(PLAIN), classOf(AGGREGATE)]).toEqual([Error, AggregateError]);
  const described = Object.values(kinds).filter((kind) => kind !== layout.ERROR_KINDS.SYSTEM);
  expect(described.filter((kind) => classOf(kind) === Error)).toEqual([]);
});

test('the document has the same numbers', () => {
  expect({
    RECORDS: numbers('Kinds of records', 'kind'),
    RECORD: { ...numbers('A frame', 'word'), KIND_BITS: mentioned('KIND_BITS') },
    ROWS: numbers('Rows', 'word'),
    ROWS_FLAGS: numbers('Rows', 'flag'),
    RAW_FLAGS: numbers('Flags of a RAW record', 'flag'),
    REQUEST: numbers('A request', 'word'),
    REQUEST_FLAGS: numbers('Flags of a request', 'flag'),
    RETRY_OPTIONS: {
      ...numbers('Retry options', 'word'),
      CODE_BYTES: mentioned('CODE_BYTES'),
      UNSET: mentioned('UNSET'),
    },
    SLOTS: numbers('Slots', 'slot'),
    TEXT_SLOT: numbers('Slots', 'length'),
    NUMBER_SLOT: numbers('Slots', 'high word'),
    ERROR_KINDS: names('Errors as JSON', 'kind'),
    REASONS: names('Reasons of kind `plain`', 'reason'),
    NO_RETRY: names('Reasons of kind `noRetry`', 'reason'),
    STAGES: names('Stages of a run', 'stage'),
    CLOSE_REASONS: names('Reasons of CLOSED', 'reason'),
  }).toEqual(layout);
});
