'use strict';

// A project as a user has it: a directory whose node_modules holds the libraries, unchanged, and under
// the name `pg` either node-postgres or this package as `npm pack` would publish it. What runs in it
// runs in a process of its own and has to end by itself.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { PATIENCE } = require('../support/patience');

const ROOT = path.join(__dirname, '..', '..');
const MODULES = path.join(ROOT, 'node_modules');
const run = promisify(execFile);

/**
 * @param {'pg' | 'pgpool-rs'} driver what `require('pg')` means in the project
 * @returns {Promise<{ directory: string, run: Function, remove: () => void }>}
 */
async function makeProject(driver) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-project-'));
  const modules = path.join(directory, 'node_modules');
  fs.mkdirSync(modules);
  for (const entry of fs.readdirSync(MODULES)) {
    if (entry.startsWith('.') || (entry === 'pg' && driver !== 'pg')) continue;
    fs.symlinkSync(fs.realpathSync(path.join(MODULES, entry)), path.join(modules, entry));
  }
  if (driver !== 'pg') await install(path.join(modules, 'pg'), directory);
  fs.cpSync(path.join(__dirname, 'scenarios'), path.join(directory, 'scenarios'), { recursive: true });
  return {
    directory,
    run: (file, env) => runIn(directory, file, env),
    remove: () => fs.rmSync(directory, { recursive: true, force: true }),
  };
}

/** Unpacks what would be published, and the local build of the native core in place of its package. */
async function install(target, scratch) {
  const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', scratch];
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const { stdout } = await run(npm, pack, { cwd: ROOT, shell: process.platform === 'win32' });
  fs.mkdirSync(target);
  const tarball = path.join(scratch, stdout.trim().split('\n').pop());
  await run('tar', ['xzf', tarball, '-C', target, '--strip-components', '1']);
  for (const file of fs.readdirSync(ROOT)) {
    if (file.endsWith('.node')) fs.copyFileSync(path.join(ROOT, file), path.join(target, file));
  }
}

// Symbolic links are kept as they are, so that the libraries find the `pg` of this project.
async function runIn(directory, file, env = {}) {
  const args = [
    '--no-deprecation',
    '--preserve-symlinks',
    '--preserve-symlinks-main',
    path.join(directory, file),
  ];
  const { NODE_OPTIONS, ...inherited } = process.env;
  const { stdout } = await run(process.execPath, args, {
    cwd: directory,
    env: { ...inherited, ...env },
    timeout: 2 * PATIENCE,
    killSignal: 'SIGKILL',
    maxBuffer: 16 * 1024 * 1024,
  });
  return stdout;
}

module.exports = { makeProject };
