'use strict';

// Loads the native part: the one that PGPOOL_RS_NATIVE names, else a local build beside
// package.json, else the package of this platform. Says what was tried when there is none.

const path = require('node:path');
const { triple } = require('./triple');

function candidates() {
  if (process.env.PGPOOL_RS_NATIVE) return [path.resolve(process.env.PGPOOL_RS_NATIVE)];
  const name = triple();
  return [path.join(__dirname, '..', `pgpool-rs.${name}.node`), `pgpool-rs-${name}`];
}

function load() {
  const failures = [];
  for (const candidate of candidates()) {
    try {
      return require(candidate);
    } catch (error) {
      failures.push({ candidate, error });
    }
  }
  const tried = failures.map(({ candidate, error }) => `  ${candidate}: ${error.message.split('\n')[0]}`);
  const failure = new Error(
    `pgpool-rs has no native part for ${triple()} (Node ${process.version}). Tried:\n${tried.join('\n')}\n` +
      'Reinstall without omitting optional dependencies, or build it in a checkout with `npm run build`.',
    // A build that is there and does not load tells more than one that is not there.
    { cause: (failures.find(({ error }) => error.code !== 'MODULE_NOT_FOUND') ?? failures[0]).error },
  );
  failure.code = 'ERR_PGPOOL_NATIVE';
  throw failure;
}

const native = load();

// Lines are written by a thread of their own; the last ones are waited for, but not long.
if (process.env.PGPOOL_LOG) process.on('exit', () => native.Vitals.flush());

module.exports = native;
