'use strict';

// The package behind tools that copy only the files an application needs: a deployer that traces `require`, as
// Next.js, Vercel and Netlify do, and a bundler. What they leave is moved elsewhere and runs a query there.

const { execFile, execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');
const { nodeFileTrace } = require('@vercel/nft');
const { PUBLISHED, triple } = require('../lib/native/platform');
const { config } = require('./support/server');
require('./support/patience');

const ROOT = path.resolve(__dirname, '..');
const NATIVE = `pgpool-rs-${triple()}`;
const APPLICATION = `
  const { Pool } = require('pgpool-rs');
  const pool = new Pool(JSON.parse(process.env.DATABASE_CONFIG));
  pool.query('SELECT $1::int + 1 AS n', [41]).then(({ rows }) => {
    console.log(rows[0].n);
    return pool.end();
  });
`;
const scratch = [];

const temporaryDirectory = () => {
  scratch.push(fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-bundling-'))));
  return scratch.at(-1);
};

/** An application whose node_modules holds this package and its native package, as an install leaves them. */
function application() {
  const directory = temporaryDirectory();
  const modules = path.join(directory, 'node_modules');
  const target = path.join(modules, 'pgpool-rs');
  fs.mkdirSync(target, { recursive: true });
  for (const file of ['package.json', 'index.js', 'lib'])
    fs.cpSync(path.join(ROOT, file), path.join(target, file), { recursive: true });
  fs.cpSync(path.join(ROOT, 'npm', triple()), path.join(modules, NATIVE), { recursive: true });
  const file = `pgpool-rs.${triple()}.node`;
  fs.copyFileSync(path.join(ROOT, file), path.join(modules, NATIVE, file));
  copyDependencies(readManifest(target).dependencies, modules);
  fs.writeFileSync(path.join(directory, 'app.js'), APPLICATION);
  return directory;
}

const readManifest = (folder) => JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'));

function copyDependencies(dependencies, modules) {
  for (const name of Object.keys(dependencies ?? {})) {
    if (fs.existsSync(path.join(modules, name))) continue;
    fs.cpSync(path.join(ROOT, 'node_modules', name), path.join(modules, name), { recursive: true });
    copyDependencies(readManifest(path.join(modules, name)).dependencies, modules);
  }
}

async function answerOf(directory, file) {
  const env = { ...process.env, DATABASE_CONFIG: JSON.stringify(config()), NODE_PATH: '', NODE_OPTIONS: '' };
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: directory, env });
  return stdout.trim();
}

afterAll(() => {
  for (const directory of scratch) fs.rmSync(directory, { recursive: true, force: true });
});

test('each published platform stands in a literal require', () => {
  const source = fs.readFileSync(path.join(ROOT, 'lib/native/index.js'), 'utf8');
  const literal = [...source.matchAll(/require\('pgpool-rs-([\w-]+)'\)/g)].map(([, platform]) => platform);
  expect(literal.sort()).toEqual(PUBLISHED);
});

test('a Client class of another package asks for pg-pool where that is not installed, and nothing else does', () => {
  const directory = application();
  const code = `
    const { Pool, Client } = require('pgpool-rs');
    new Pool({ Client: class extends Client {} });
    try {
      new Pool({ Client: class {} });
    } catch ({ code, message }) {
      console.log(code, message);
    }`;
  const printed = execFileSync(process.execPath, ['-e', code], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, NODE_PATH: '' },
  });
  expect(printed).toMatch(/^ERR_PGPOOL_NO_PG_POOL .*install pg-pool beside it\n$/);
});

test('files traced from an application are enough to run it elsewhere', async () => {
  const directory = application();
  const { fileList } = await nodeFileTrace([path.join(directory, 'app.js')], {
    base: directory,
    processCwd: directory,
  });
  const files = [...fileList].filter((file) => !file.startsWith('..'));
  expect(files).toContain(path.join('node_modules', NATIVE, `pgpool-rs.${triple()}.node`));
  const deployed = temporaryDirectory();
  for (const file of files)
    fs.cpSync(path.join(directory, file), path.join(deployed, file), { recursive: true, dereference: true });
  fs.rmSync(directory, { recursive: true });
  expect(await answerOf(deployed, 'app.js')).toBe('42');
});

describe('esbuild', () => {
  // In a process of its own: it does not accept the typed arrays of a test environment.
  function bundle(directory, loader = {}) {
    const options = { entryPoints: ['app.js'], bundle: true, platform: 'node', outdir: 'out', loader };
    const build = `require(${JSON.stringify(require.resolve('esbuild'))}).buildSync(${JSON.stringify(options)})`;
    execFileSync(process.execPath, ['-e', build], { cwd: directory, stdio: 'pipe', encoding: 'utf8' });
  }

  test('makes one file and the native part beside it, with the loader `copy`', async () => {
    const directory = application();
    bundle(directory, { '.node': 'copy' });
    const deployed = temporaryDirectory();
    fs.cpSync(path.join(directory, 'out'), deployed, { recursive: true });
    fs.rmSync(directory, { recursive: true });
    expect(await answerOf(deployed, 'app.js')).toBe('42');
  });

  test('fails at build time without that loader, and names the native part', () => {
    const directory = application();
    expect(() => bundle(directory)).toThrow(
      new RegExp(`No loader is configured for "\\.node" files.*${NATIVE}`),
    );
  });
});
