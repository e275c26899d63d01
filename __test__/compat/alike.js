'use strict';

// Compatibility cases: one body, run first with node-postgres and then with this package in the same
// process; what the two runs return must be equal. Bodies return plain data: no ids, no times.

const { execFile } = require('node:child_process');
const { isNativeError } = require('node:util/types');
const ours = require('../../index.js');
const theirs = require('pg');
const { PATIENCE } = require('../support/patience');
const { config } = require('../support/server');

/** Declares a test. `body(driver, config)` gets pg or this package. */
function alike(name, body) {
  test(name, async () => {
    const expected = await body(theirs, config);
    expect(expected).toBeDefined();
    expect(await body(ours, config)).toEqual(expected);
  });
}

/** An error as far as it can be compared. */
function told(error) {
  if (!isNativeError(error)) return { thrown: error };
  const { name, message, code, severity, detail, constraint, position } = error;
  return {
    type: error.constructor.name,
    name,
    message,
    code,
    severity,
    detail,
    constraint,
    position,
    keys: Object.keys(error),
  };
}

/** How a promise ends. */
async function outcome(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return { error: told(error) };
  }
}

/** What a function throws at once. */
function thrown(call) {
  try {
    call();
    return 'nothing thrown';
  } catch (error) {
    return told(error);
  }
}

/** Notes the events of an emitter, in order. */
function journal(emitter, names, notes = [], prefix = '') {
  for (const name of names) {
    emitter.on(name, (first) =>
      notes.push(isNativeError(first) ? `${prefix}${name}: ${first.message}` : prefix + name),
    );
  }
  return notes;
}

/** The arguments a callback gets, as a promise. */
function calledBack(start) {
  return new Promise((resolve) => {
    start((...args) => resolve(args));
  });
}

/**
 * Runs `body(driver, options)` in a process of its own, and tells what it printed and how it ended; it is
 * ended by a signal if it does not end by itself. `limit` is a command of the shell that limits it.
 */
function inProcess(driver, options, body, limit) {
  const module = JSON.stringify(
    driver === theirs ? require.resolve('pg') : require.resolve('../../index.js'),
  );
  const script = `(${body})(require(${module}), ${JSON.stringify(options)})`;
  return new Promise((resolve) => {
    execFile(
      limit ? 'sh' : process.execPath,
      limit ? ['-c', `${limit}; exec "$@"`, 'sh', process.execPath, '-e', script] : ['-e', script],
      { timeout: PATIENCE, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        resolve({
          code: error ? error.code : 0,
          signal: error ? error.signal : null,
          stdout,
          failed: /Error/.test(stderr),
        });
      },
    );
  });
}

module.exports = { alike, inProcess, told, outcome, thrown, journal, calledBack };
