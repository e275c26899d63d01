'use strict';

// A published program that a test or a script needs and the package does not: installed by npm on first use into
// node_modules/.cache, one directory for each version, which is there whole or not at all. No script of it is run.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { ROOT } = require('./step');

const CACHE = path.join(ROOT, 'node_modules', '.cache', 'pgpool-rs', 'npm');
const DOWNLOAD_LIMIT = 120_000;
const INSTALL = ['install', '--silent', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];

/**
 * The directory of the package, downloaded when it is missing.
 * @throws Error in one line when it cannot be had
 */
function cachedPackage(name, version) {
  const prefix = path.join(CACHE, `${name.replace('/', '-')}-${version}`);
  const directory = path.join(prefix, 'node_modules', name);
  if (!fs.existsSync(directory)) download(`${name}@${version}`, prefix);
  return directory;
}

function download(spec, prefix) {
  fs.mkdirSync(CACHE, { recursive: true });
  const work = fs.mkdtempSync(path.join(CACHE, 'fetching-'));
  try {
    execFileSync('npm', [...INSTALL, '--prefix', work, spec], {
      cwd: work,
      shell: process.platform === 'win32',
      stdio: 'pipe',
      encoding: 'utf8',
      timeout: DOWNLOAD_LIMIT,
    });
    fs.renameSync(work, prefix);
  } catch (error) {
    // Another process may have been quicker.
    if (!fs.existsSync(prefix)) throw new Error(`${spec} cannot be had: ${reason(error)}`, { cause: error });
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

function reason(error) {
  const [line] = String(error.stderr || error.message)
    .trim()
    .split('\n');
  return line;
}

module.exports = { cachedPackage };
