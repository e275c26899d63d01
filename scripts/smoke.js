'use strict';

// `npm run smoke`: the package on other Node versions than this machine's, on Bun and on Deno, each as published on
// npm and kept in node_modules/.cache. One that cannot be had is passed over with a line that says so.

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const { ROOT, run, main } = require('./step');
const { givenServer } = require('../__test__/support/given-server');

const OS = process.platform === 'win32' ? 'win' : process.platform;
const EXE = process.platform === 'win32' ? '.exe' : '';
const BUN_CPU = process.arch === 'arm64' ? 'aarch64' : process.arch;
const BUN_OS = process.platform === 'win32' ? 'windows' : process.platform;
const DENO_OS = process.platform === 'linux' ? 'glibc' : '';
const node = (version) => ({ name: `node-${OS}-${process.arch}`, version, program: `bin/node${EXE}` });

/** The package of each runtime, its program, and what goes before the script. */
const RUNTIMES = [
  node('22.23.3'),
  node('24.21.0'),
  node('26.10.0'),
  { name: `@oven/bun-${BUN_OS}-${BUN_CPU}`, version: '1.4.5', program: `bin/bun${EXE}` },
  {
    name: ['@deno/' + process.platform, process.arch, DENO_OS].filter(Boolean).join('-'),
    version: '2.9.6',
    program: `deno${EXE}`,
    args: ['run', '-A'],
  },
];
const CACHE = path.join(ROOT, 'node_modules', '.cache', 'runtimes');
const SCENARIO = path.join(ROOT, '__test__', 'smoke', 'scenario.js');
const DOWNLOAD_LIMIT = 120_000;

/** The program of a runtime, downloaded when it is missing. */
async function programOf({ name, version, program }) {
  const prefix = path.join(CACHE, `${name.replace('/', '-')}-${version}`);
  const file = path.join(prefix, 'node_modules', name, program);
  if (fs.existsSync(file)) return file;
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
  return file;
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
    const calls = [[process.execPath, [SCENARIO]]];
    for (const runtime of RUNTIMES) {
      try {
        calls.push([await programOf(runtime), [...(runtime.args ?? []), SCENARIO]]);
      } catch (error) {
        const [why] = error.message.split('\n');
        console.log(`${runtime.name} ${runtime.version}: passed over, it cannot be had (${why})`);
      }
    }
    for (const [program, args] of calls) await run(program, args, { env, timeout: 60_000 });
  });
}

module.exports = { RUNTIMES, smoke };

if (require.main === module) main(smoke);
