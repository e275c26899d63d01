'use strict';

// Brings a checkout to the point where its code runs: dependencies, the embedded PostgreSQL, the
// native part. Does only what is missing or out of date.
//
// usage: node scripts/prepare.js [--release]

const fs = require('node:fs');
const path = require('node:path');
const { ROOT, step, npm, main } = require('./step');
const { build, isBuilt } = require('./build');

function areDependenciesInstalled() {
  const time = (file) => fs.statSync(path.join(ROOT, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  // npm writes the inner file last, when everything is in place.
  return time('node_modules/.package-lock.json') >= time('package-lock.json');
}

function hydrateEmbedded() {
  const { embeddedBinaries, embeddedPackage } = require('../__test__/support/binaries');
  try {
    embeddedBinaries();
  } catch (error) {
    // Not fatal: a platform without a build, or one where a server is given by DATABASE_URL.
    console.log(`no embedded PostgreSQL (${embeddedPackage()}): ${error.message}`);
  }
}

/** @param {{ profile?: 'dev' | 'release' }} [options] resolves to the list of steps; stops at the first failure */
async function prepare({ profile = 'dev' } = {}) {
  const work = [];
  if (!areDependenciesInstalled()) work.push(['install dependencies', () => npm(['ci'])]);
  work.push(['ready the embedded PostgreSQL', async () => hydrateEmbedded()]);
  if (!isBuilt(profile)) work.push([`build the native part (${profile})`, () => build({ profile })]);
  const done = [];
  for (const [title, body] of work) {
    done.push(await step(title, body));
    if (!done.at(-1).ok) break;
  }
  return done;
}

if (require.main === module) {
  main(async () => {
    const steps = await prepare({ profile: process.argv.includes('--release') ? 'release' : 'dev' });
    if (steps.some(({ ok }) => !ok)) process.exitCode = 1;
  });
}

module.exports = { prepare };
