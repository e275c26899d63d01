'use strict';

// `npm run smoke`: the package on the Node versions that are not this machine's own, each as published
// on npm and kept in node_modules/.cache. One that cannot be had is passed over with a line that says so.

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { ROOT, run, main } = require('./step');
const { givenServer } = require('../__test__/support/given-server');

const VERSIONS = ['22.23.3', '24.21.0', '26.10.0'];
const PLATFORM = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
const CACHE = path.join(ROOT, 'node_modules', '.cache', 'node');
const SCENARIO = path.join(ROOT, '__test__', 'smoke', 'scenario.js');
const DOWNLOAD_LIMIT = 120_000;

/** The program of that version, downloaded when it is missing. */
async function nodeOf(version) {
  const name = `node-${PLATFORM}`;
  const prefix = path.join(CACHE, version);
  const program = path.join(
    prefix,
    'node_modules',
    name,
    'bin',
    process.platform === 'win32' ? 'node.exe' : 'node',
  );
  if (fs.existsSync(program)) return program;
  fs.mkdirSync(prefix, { recursive: true });
  const args = [
    'install',
    '--silent',
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefix',
    prefix,
    `${name}@${version}`,
  ];
  await promisify(execFile)('npm', args, {
    cwd: prefix,
    shell: process.platform === 'win32',
    timeout: DOWNLOAD_LIMIT,
  });
  return program;
}

async function withServer(body) {
  const given = givenServer(process.env);
  if (given) return body(given);
  const { startPostgres } = require('../__test__/support/postgres');
  const server = await startPostgres();
  try {
    return await body(server);
  } finally {
    await server.stop();
  }
}

async function smoke() {
  await withServer(async ({ host, port, user, password, database, ssl }) => {
    const config = JSON.stringify({ host, port, user, password, database, ssl });
    const env = { ...process.env, DATABASE_CONFIG: config, NODE_OPTIONS: '' };
    const programs = [process.execPath];
    for (const version of VERSIONS) {
      try {
        programs.push(await nodeOf(version));
      } catch (error) {
        console.log(`node ${version}: passed over, it cannot be had (${error.message.split('\n')[0]})`);
      }
    }
    for (const program of programs) await run(program, [SCENARIO], { env, timeout: 60_000 });
  });
}

module.exports = { smoke };

if (require.main === module) main(smoke);
