'use strict';

// The package inside a test runner: jest ends by itself after its tests, in one process and with
// several workers, without --forceExit.

const path = require('node:path');
const { execFile } = require('node:child_process');
const { PATIENCE } = require('../support/patience');

const ROOT = path.resolve(__dirname, '../..');
const JEST = require.resolve('jest/bin/jest');

function runJest(...args) {
  const configuration = {
    rootDir: path.join(__dirname, 'suite'),
    testMatch: ['**/*.check.js'],
    transform: {},
  };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [JEST, '--config', JSON.stringify(configuration), ...args],
      { cwd: ROOT, timeout: 2 * PATIENCE, env: { ...process.env, JEST_WORKER_ID: undefined } },
      (error, _, output) => resolve({ code: error ? (error.code ?? error.signal) : 0, output }),
    );
  });
}

test.each([[['--runInBand']], [['--maxWorkers=2']]])('jest %j ends by itself', async (args) => {
  const { code, output } = await runJest(...args);
  expect(output).toMatch(/3 passed, 3 total/);
  expect(output).not.toMatch(/did not exit|failed to exit/i);
  expect(code).toBe(0);
});

test('jest --detectOpenHandles sees nothing after `end()`', async () => {
  const { code, output } = await runJest('--runInBand', '--detectOpenHandles');
  expect(output).not.toMatch(/open handle/);
  expect(code).toBe(0);
});
