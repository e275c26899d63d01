'use strict';

// The layers of lib/ as a test: a file requires only what stands on its own layer or below it.

const fs = require('node:fs');
const path = require('node:path');

const LIB = path.join(__dirname, '..', 'lib');

// From the top down; what stands on one line are neighbours, which may require each other's files but not in a circle.
const LAYERS = [
  ['pool'],
  ['retry'],
  ['client.js', 'client'],
  ['query.js'],
  ['statement'],
  ['encode', 'monitor', 'result.js', 'utils.js'],
  ['native', 'connection.js'],
  ['config', 'connection-parameters.js'],
  ['async', 'decode', 'defaults.js', 'errors.js', 'stream.js', 'type-overrides.js'],
  // Numbers, which require nothing.
  ['native/layout.js'],
];

// pg's face of the whole: it names what applications require by path.
const FACE = 'index.js';

const files = fs
  .readdirSync(LIB, { recursive: true })
  .map((file) => file.split(path.sep).join('/'))
  .filter((file) => file.endsWith('.js') && file !== FACE);

const layerOf = (file) => {
  const own = LAYERS.findIndex((names) => names.includes(file));
  return own >= 0 ? own : LAYERS.findIndex((names) => names.some((name) => file.startsWith(`${name}/`)));
};

function requiredBy(file, source = fs.readFileSync(path.join(LIB, file), 'utf8')) {
  const requests = [...source.matchAll(/require\(\s*'(\.{1,2}(?:\/[^']*)?)'\s*\)/g)].map(
    ([, request]) => request,
  );
  return requests
    .map((request) => path.posix.normalize(path.posix.join(path.posix.dirname(file), request)))
    .filter((base) => !base.startsWith('..'))
    .map((base) => [base, `${base}.js`, `${base}/index.js`].find((name) => files.includes(name)) ?? base);
}

function offences(file, required) {
  if (layerOf(file) < 0) return [`${file} is on no layer`];
  return required
    .filter((other) => files.includes(other) && layerOf(other) < layerOf(file))
    .map((other) => `${file} requires ${other}`);
}

test('every file of lib/ requires only what stands on its layer or below', () => {
  expect(files.length).toBeGreaterThan(50);
  expect(files.flatMap((file) => offences(file, requiredBy(file)))).toEqual([]);
});

test('no files of lib/ require each other in a circle', () => {
  const open = [];
  const done = new Set();
  const circles = [];
  const visit = (file) => {
    if (open.includes(file)) return circles.push([...open.slice(open.indexOf(file)), file].join(' > '));
    if (done.has(file)) return undefined;
    open.push(file);
    requiredBy(file)
      .filter((other) => files.includes(other))
      .forEach(visit);
    open.pop();
    return done.add(file);
  };
  files.forEach(visit);
  expect(circles).toEqual([]);
});

test('a require that leads up is found, and so is a file on no layer', () => {
  const source =
    "const pool = require('../pool/pool'); const own = require('./bridge'); const fs = require('node:fs');";
  expect(offences('native/frame.js', requiredBy('native/frame.js', source))).toEqual([
    'native/frame.js requires pool/pool.js',
  ]);
  expect(offences('elsewhere/file.js', [])).toEqual(['elsewhere/file.js is on no layer']);
});
