'use strict';

// `npm test`: the whole gate. Every step runs even when one before it failed, and the summary at
// the end says which. With arguments, only jest runs, with those arguments:
//
//   npm test -- __test__/harness.test.js -t proxy

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { ROOT, step, run, runPackage, main } = require('./step');
const { prepare } = require('./prepare');

const TYPES = '__test__/types/tsconfig.json';
const LIBRARY_TYPES = '__test__/types/libraries/tsconfig.json';

const GATE = [
  ['format and lint of JavaScript', () => runPackage('@biomejs/biome', ['ci', '--error-on-warnings', '.'])],
  ['types of lib', () => runPackage('typescript', ['-p', 'tsconfig.json'])],
  ['rust format', () => run('cargo', ['fmt', '--check'])],
  ['clippy', () => run('cargo', ['clippy', '--all-targets', '--', '-D', 'warnings'])],
  ['core tests, without Node', () => run('cargo', ['test', '--no-default-features'])],
  [
    'licences and sources of crates',
    () => run('cargo', ['deny', '--locked', 'check', 'licenses', 'sources']),
    hasDeny,
  ],
  ['jest', () => jest([])],
  ['types', () => runPackage('typescript', ['-p', TYPES]), () => fs.existsSync(path.join(ROOT, TYPES))],
  ['types, as libraries expect them', () => runPackage('typescript', ['-p', LIBRARY_TYPES])],
  ['package', () => runPackage('publint', ['--strict'])],
  // Loaded when its turn comes: it stands on packages that the first step installs.
  ['other Node versions, Bun, Deno', () => require('./smoke').smoke()],
];

/** cargo-deny takes longer to build than the rest of the gate, so it is asked of nobody but CI. */
function hasDeny() {
  const isThere = spawnSync('cargo', ['deny', '--version'], { stdio: 'ignore' }).status === 0;
  if (!isThere) console.log('\n▸ licences and sources of crates: skipped, cargo-deny is not installed');
  return isThere;
}

const jest = (args) => runPackage('jest', args);

function report(steps) {
  const width = Math.max(...steps.map(({ title }) => title.length));
  console.log('\nsummary');
  for (const { ok, title, time } of steps) console.log(`  ${ok ? '✓' : '✗'} ${title.padEnd(width)}  ${time}`);
}

main(async () => {
  const steps = await prepare();
  if (steps.every(({ ok }) => ok)) {
    const args = process.argv.slice(2);
    const gate = args.length > 0 ? [[`jest ${args.join(' ')}`, () => jest(args)]] : GATE;
    for (const [title, work, applies = () => true] of gate) {
      if (applies()) steps.push(await step(title, work));
    }
  }
  report(steps);
  if (steps.some(({ ok }) => !ok)) process.exitCode = 1;
});
