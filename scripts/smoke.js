'use strict';

// `npm run smoke`: the package on other Node versions than this machine's, on Bun and on Deno, each as published on
// npm. One that cannot be had is passed over with a line that says so.

const path = require('node:path');
const { cachedPackage } = require('./cached-package');
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
const SCENARIO = path.join(ROOT, '__test__', 'smoke', 'scenario.js');

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
        const program = path.join(cachedPackage(runtime.name, runtime.version), runtime.program);
        calls.push([program, [...(runtime.args ?? []), SCENARIO]]);
      } catch (error) {
        console.log(`passed over: ${error.message}`);
      }
    }
    for (const [program, args] of calls) await run(program, args, { env, timeout: 60_000 });
  });
}

module.exports = { RUNTIMES, smoke };

if (require.main === module) main(smoke);
