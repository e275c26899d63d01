'use strict';

// The packages of a release as `npm pack` makes them, on a registry of this machine: this one with its native part,
// what they depend on, out of node_modules, and beside them what must not be installed: pg and pg-pool.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { PUBLISHED, triple } = require('../../lib/native/platform');
const { prepareRelease } = require('../../scripts/release-manifest');
const { Registry } = require('./registry');

const ROOT = path.resolve(__dirname, '../..');
const CHECKOUT = [
  'package.json',
  'index.js',
  'index.mjs',
  'index.d.ts',
  'index.d.mts',
  'lib',
  'npm',
  'README.md',
];
const TEXTS = ['CHANGELOG.md', 'LICENSE'];
const BESIDE = ['pg', 'pg-pool', 'pg-cursor', '@types/node'];
/** A library that brings pg along, as it finds it. */
const LIBRARY = {
  name: 'needs-pg',
  version: '1.0.0',
  main: 'index.js',
  dependencies: { pg: '^8.11.0' },
};

const manifestOf = (directory) => JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8'));

/** Resolves to the registry, which is listening. */
async function publish() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-published-'));
  try {
    const registry = new Registry(directory);
    const release = stage(path.join(directory, 'release'));
    const platforms = PUBLISHED.map((platform) => path.join(release, 'npm', platform));
    const own = [release, ...platforms, library(path.join(directory, LIBRARY.name))];
    const others = dependencies([...Object.keys(manifestOf(ROOT).dependencies), ...BESIDE]);
    pack(registry, [...own, ...others], directory);
    await registry.listen();
    return registry;
  } catch (error) {
    fs.rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** What the release workflow publishes, with empty files for the builds of other platforms. */
function stage(directory) {
  for (const file of [...CHECKOUT, ...TEXTS])
    fs.cpSync(path.join(ROOT, file), path.join(directory, file), { recursive: true });
  for (const platform of PUBLISHED) {
    const file = `pgpool-rs.${platform}.node`;
    const target = path.join(directory, 'npm', platform, file);
    if (platform === triple()) fs.copyFileSync(path.join(ROOT, file), target);
    else fs.writeFileSync(target, '');
  }
  prepareRelease(directory, {
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_REPOSITORY: 'someone/news',
    GITHUB_REF_NAME: `v${manifestOf(directory).version}`,
  });
  return directory;
}

function library(directory) {
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'package.json'), JSON.stringify(LIBRARY));
  fs.writeFileSync(path.join(directory, 'index.js'), "module.exports = require('pg');\n");
  return directory;
}

/** The directories of the installed packages and of all that they depend on. */
function dependencies(names) {
  const directories = new Set();
  const visit = (name, from) => {
    const nested = path.join(from, 'node_modules', name);
    const directory = fs.existsSync(nested) ? nested : path.join(ROOT, 'node_modules', name);
    if (directories.has(directory) || !fs.existsSync(directory)) return;
    directories.add(directory);
    for (const other of Object.keys(manifestOf(directory).dependencies ?? {})) visit(other, directory);
  };
  for (const name of names) visit(name, ROOT);
  return [...directories];
}

function pack(registry, directories, destination) {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', destination, ...directories];
  const output = execFileSync('npm', args, {
    cwd: destination,
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 2 ** 26,
  });
  const archives = new Map(Object.values(JSON.parse(output)).map(({ name, filename }) => [name, filename]));
  for (const directory of directories) {
    const manifest = manifestOf(directory);
    registry.add(manifest, path.join(destination, archives.get(manifest.name)));
  }
}

module.exports = { publish };
