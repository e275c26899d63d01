'use strict';

// Row compiler: generates a row builder, a function with the columns of its rows written out, so that every row is a
// single object literal and no field is looked at twice.
//
// The code depends on the names of the columns and on their readers, never on the parsers, which are passed in. So
// statements with the same columns share one builder and its optimised code, on any connection.

const { READERS } = require('./column-readers');
const { ROWS_FLAGS } = require('../native/layout');
const { NULL, SLICED, text, bytea, copy, ascii } = require('./strings');
const { local, readNan } = require('./packed-values');

// Characters of source that are kept, those of the builders used last.
const KEPT_SOURCE = 2 * 1024 * 1024;

// Short ASCII strings are cut from one string for the whole block.
const CHUNK = `const chunk = (flags & ${ROWS_FLAGS.SHORT_TEXTS}) !== 0
  ? bytes.latin1Slice(rawStart, rawStart + rawLength) : null;`;

// Functions that the generated code calls.
const tools = { text, bytea, copy, ascii, local, readNan };

const builders = new Map();
let keptSource = 0;
let disallowed = false;

// Returns a function that takes the parsers and returns the row builder; undefined where code generation is disallowed
// (`--disallow-code-generation-from-strings`).
function builder(layout) {
  if (disallowed) return undefined;
  const source = sourceOf(layout);
  let make = builders.get(source);
  if (make === undefined) {
    try {
      make = new Function('tools', 'parsers', source).bind(undefined, tools);
    } catch (error) {
      if (!(error instanceof EvalError)) throw error;
      disallowed = true;
      return undefined;
    }
    keptSource += source.length;
  }
  // The one used last stands last.
  builders.delete(source);
  builders.set(source, make);
  while (keptSource > KEPT_SOURCE && builders.size > 1) {
    const [oldest] = builders.keys();
    builders.delete(oldest);
    keptSource -= oldest.length;
  }
  return make;
}

// Forgets all builders: nobody has a connection that they could be for.
function forgetBuilders() {
  builders.clear();
  keptSource = 0;
}

function sourceOf({ names, readers, asArray, walks }) {
  const used = [...new Set(readers)];
  const cuts = used.includes(READERS.string) || used.includes(READERS.parsed);
  const values = readers.map((reader, i) => valueOf(reader, i));
  const steps = [];
  if (walks) {
    // One value after the other, since the position in the raw bytes moves on between them.
    values.forEach((value, i) =>
      steps.push(
        'length = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];',
        `const value${i} = ${value};`,
        'at += length > 0 ? length + 4 : 4;',
      ),
    );
  }
  const parts = walks ? values.map((_, i) => `value${i}`) : values;
  const row = asArray
    ? `[${parts.join(',\n')}]`
    : `{${parts.map((part, i) => `${keyOf(names[i])}: ${part}`).join(',\n')}}`;
  return `'use strict';
const { text, bytea, copy, ascii, local, readNan } = tools;
${readers.map((reader, i) => (reader === READERS.string ? '' : `const parse${i} = parsers[${i}];`)).join('\n')}
return (rows, frame, slot, count, rawStart, rawLength, flags) => {
  const { bytes, words, doubles } = frame;
  ${cuts ? CHUNK : ''}
  let word = slot * 2, at = rawStart, length = 0, start = 0, size = 0, number = 0;
  for (let r = 0; r < count; r++, slot += ${readers.length}, word += ${readers.length * 2}) {
    ${steps.join('\n    ')}
    rows.push(${row});
  }
};`;
}

// A plain `__proto__:` in a literal would set the prototype.
function keyOf(name) {
  return name === '__proto__' ? '["__proto__"]' : JSON.stringify(name);
}

function valueOf(reader, i) {
  const start = `rawStart + words[word + ${i * 2}]`;
  const size = `words[word + ${i * 2 + 1}]`;
  // A short string is cut from the chunk; other sizes, NULL among them, are larger numbers.
  const string = `(size = ${size}) < ${SLICED} && chunk !== null
    ? chunk.substring(start = words[word + ${i * 2}], start + size) : text(bytes, ${start}, size)`;
  const nan = `readNan(frame, slot + ${i}, rawStart, parse${i})`;
  const double = (value) => `(number = doubles[slot + ${i}]) === number ? ${value} : ${nan}`;
  switch (reader) {
    case READERS.string:
      return string;
    case READERS.parsed:
      return `${size} === ${NULL} ? null : parse${i}(${string})`;
    case READERS.bytea:
      return `bytea(bytes, ${start}, ${size}, parse${i})`;
    case READERS.binary:
      return `(size = ${size}) === ${NULL} ? null : parse${i}(copy(bytes, ${start}, size))`;
    case READERS.raw:
      return `length < 0 ? null : parse${i}(ascii(bytes, at + 4, length))`;
    case READERS.boolean:
      return double('number === 1');
    case READERS.instant:
      return double('new Date(number)');
    case READERS.local:
      return double('local(number)');
    default:
      return double('number');
  }
}

module.exports = { builder, forgetBuilders };
