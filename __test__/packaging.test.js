'use strict';

// What is published, and what an install from this repository needs, agree with each other.

const fs = require('node:fs');
const path = require('node:path');
const { triple } = require('../lib/triple');

const ROOT = path.resolve(__dirname, '..');
const read = (file) => JSON.parse(fs.readFileSync(path.join(ROOT, file), 'utf8'));
const manifest = read('package.json');
const platforms = fs.readdirSync(path.join(ROOT, 'npm'));

test('there is a package for this platform and for all that are promised', () => {
  expect(platforms).toContain(triple());
  expect(platforms.sort()).toEqual([
    'darwin-arm64', 'darwin-x64', 'linux-arm64-gnu', 'linux-arm64-musl', 'linux-x64-gnu', 'linux-x64-musl', 'win32-x64-msvc',
  ]);
});

test.each(platforms)('the package for %s carries its name, version and file', (platform) => {
  const { name, version, main, files, engines } = read(`npm/${platform}/package.json`);
  expect({ name, version, main, files, engines }).toEqual({
    name: `pgpool-rs-${platform}`,
    version: manifest.version,
    main: `pgpool-rs.${platform}.node`,
    files: [`pgpool-rs.${platform}.node`],
    engines: manifest.engines,
  });
});

test('the version follows the pg that it stands in for', () => {
  expect(manifest.version.split('.').slice(0, 2)).toEqual(manifest.devDependencies.pg.split('.').slice(0, 2));
});

test('every development dependency is pinned', () => {
  const pinned = /^\d+\.\d+\.\d+(-[\w.]+)?$/;
  const loose = Object.entries(manifest.devDependencies).filter(([, version]) => !pinned.test(version));
  expect(loose).toEqual([]);
});

test('users get neither the test servers nor a registry address', () => {
  expect(manifest.optionalDependencies).toBeUndefined();
  const lock = read('package-lock.json');
  const addresses = Object.entries(lock.packages).filter(([, { resolved }]) => resolved?.includes('://'));
  expect(addresses).toEqual([]);
});
