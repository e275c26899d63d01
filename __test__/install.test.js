'use strict';

// The package as it is published, installed as users install it: by each package manager, under its own name and as
// `pg`. What is installed runs a query, brings no pg of node-postgres along, and nobody is told of missing peers.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { version } = require('../package.json');
const { execute, install, packageManagers } = require('./support/package-managers');
const { publish } = require('./support/published');
const { config } = require('./support/server');
require('./support/patience');

const TARGET = `npm:pgpool-rs@${version.split('.')[0]}`;
const TSC = path.resolve(__dirname, '../node_modules/typescript/bin/tsc');
const TSC_OPTIONS = ['--module', 'nodenext', '--target', 'es2022', '--strict', '--types', 'node'];

const ask = (Pool) => `
const pool = new ${Pool}(JSON.parse(process.env.DATABASE_CONFIG ?? ''));
pool.query('SELECT $1::int + 1 AS n', [41]).then(({ rows }) => {
  console.log(rows[0].n);
  return pool.end();
});
`;

/** A program for each way of asking for the package. */
const programs = (name) => ({
  'app.cjs': `const { Pool } = require('${name}');${ask('Pool')}`,
  'app.mjs': `import { Pool } from '${name}';${ask('Pool')}`,
  'typed.mts': `import { Pool, type PoolConfig } from '${name}';\nconst none: PoolConfig = {};\nvoid none;${ask('Pool')}`,
  'typed.cts': `import pg = require('${name}');${ask('pg.Pool')}`,
});

/** Whose pg is found by the application, by the package itself and by a library that depends on pg. */
const FINDER = `
const { createRequire } = require('node:module');
const [, , name, ...libraries] = process.argv;
const found = (asking) => {
  try {
    return asking('pg/package.json').name;
  } catch {
    return 'none';
  }
};
const froms = [name, ...libraries].map((one) => createRequire(require.resolve(one)));
console.log(JSON.stringify([require, ...froms].map(found)));
`;

let registry;
const scratch = [];

beforeAll(async () => {
  registry = await publish();
});

afterEach(() => {
  for (const directory of scratch.splice(0)) fs.rmSync(directory, { recursive: true, force: true });
});

afterAll(() => registry?.close());

/** A directory with the application and what it depends on, installed. */
async function project(manager, name, { dependencies, target }) {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-install-')));
  scratch.push(directory);
  const manifest = { name: 'app', private: true, dependencies, ...manager.manifest?.(target) };
  const files = {
    'package.json': JSON.stringify(manifest),
    'find.cjs': FINDER,
    ...programs(name),
    ...manager.files(registry.url, target),
  };
  for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(directory, file), text);
  registry.fetched.clear();
  const told = await install(manager, directory);
  return { directory, told, run: (file, ...args) => run(manager, directory, [file, ...args]) };
}

async function run(manager, directory, [file, ...args]) {
  const command = ['--no-warnings', ...manager.run(file), ...args];
  const variables = { DATABASE_CONFIG: JSON.stringify(config()) };
  return (await execute(process.execPath, command, directory, { variables })).trim();
}

/** Compiles the typed programs, but for Plug'n'Play: TypeScript reads its files only when Yarn has patched it. */
async function compiled(manager, directory) {
  if (manager.isPlugAndPlay) return [];
  await execute(process.execPath, [TSC, ...TSC_OPTIONS, 'typed.mts', 'typed.cts'], directory);
  return ['typed.mjs', 'typed.cjs'];
}

const answers = async (manager, { directory, run: runs }) => {
  const files = ['app.cjs', 'app.mjs', ...(await compiled(manager, directory))];
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file, await runs(file)])));
};
const allAnswered = (manager) => {
  const typed = manager.isPlugAndPlay ? {} : { 'typed.mjs': '42', 'typed.cjs': '42' };
  return { 'app.cjs': '42', 'app.mjs': '42', ...typed };
};

describe.each(packageManagers())('installed with $name', (manager) => {
  test('it answers to require, import and TypeScript, and no pg stands beside it', async () => {
    const dependencies = { 'pgpool-rs': version, '@types/node': '*' };
    const app = await project(manager, 'pgpool-rs', { dependencies });
    expect(app.told).not.toMatch(/\bpeer|unmet/i);
    expect(registry.fetched).toContain('pgpool-rs');
    expect([...registry.fetched].filter((name) => /^pg(-pool)?$/.test(name))).toEqual([]);
    expect(JSON.parse(await app.run('find.cjs', 'pgpool-rs'))).toEqual(['none', 'none']);
    expect(await answers(manager, app)).toEqual(allAnswered(manager));
  });

  test('it is the pg of the application and of its libraries under the alias pg', async () => {
    const dependencies = { pg: TARGET, 'needs-pg': '*', 'pg-cursor': '*', '@types/node': '*' };
    const app = await project(manager, 'pg', { dependencies, target: TARGET });
    expect(app.told).not.toMatch(/\bpeer|unmet/i);
    expect(registry.fetched).not.toContain('pg');
    const found = JSON.parse(await app.run('find.cjs', 'pg', 'needs-pg', 'pg-cursor'));
    // The package itself asks for no pg, and whether it would find itself is the layout's matter.
    const [application, , ...libraries] = found;
    expect([application, ...libraries]).toEqual(['pgpool-rs', 'pgpool-rs', 'pgpool-rs']);
    expect(found).not.toContain('pg');
    expect(await answers(manager, app)).toEqual(allAnswered(manager));
  });
});
