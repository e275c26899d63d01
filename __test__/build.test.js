'use strict';

// The build of the native part where something is missing.

const path = require('node:path');
const { execFile } = require('node:child_process');

const BUILD = path.join(__dirname, '..', 'scripts', 'build.js');

test('without Rust the build says how to get it', async () => {
  const env = { ...process.env, PATH: path.join(__dirname, 'no-such-directory') };
  const ended = await new Promise((resolve) => {
    execFile(process.execPath, [BUILD], { env }, (error, stdout, stderr) =>
      resolve({ code: error?.code, stderr }),
    );
  });
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain('https://rustup.rs');
  expect(ended.stderr).not.toContain('    at ');
});
