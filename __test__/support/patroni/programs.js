'use strict';

// The programs of a Patroni cluster: Patroni, which PATRONI names or which is installed into an environment of Python's
// below node_modules/.cache, and Debian's etcd and PostgreSQL (the embedded builds bring no pg_basebackup). What is
// missing is told, so that who needs them can skip aloud.

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync, spawnSync } = require('node:child_process');
const { NOBODY } = require('./network');

const CACHE = path.resolve(__dirname, '../../../node_modules/.cache/pgpool-rs');
const PACKAGES = ['patroni[etcd3]==4.1.5', 'psycopg[binary]==3.3.9'];
const POSTGRES = '/usr/lib/postgresql';
const NEEDED = ['initdb', 'pg_basebackup', 'pg_controldata', 'pg_ctl', 'pg_rewind', 'postgres'];
// The system's own one before others, which may be out of reach for those who are not root.
const PYTHON = fs.existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
const MOST_MILLIS = 300_000;

/**
 * @returns {{ programs: { patroni: string, python: string, etcd: string, postgres: string }, missing: string[] }}
 *   `postgres` is a directory
 */
function patroniPrograms() {
  if (process.platform !== 'linux' || process.getuid() !== 0)
    return { missing: ['networks of their own for the nodes: Linux, and to be root'] };
  const missing = [];
  const find = (what, search) => {
    const found = search();
    if (found === undefined) missing.push(what);
    return found;
  };
  const programs = {
    etcd: find('etcd (apt install etcd-server)', () => onPath('etcd')),
    postgres: find("PostgreSQL's server programs (apt install postgresql)", postgresDirectory),
  };
  // The one that has to be downloaded comes last.
  if (missing.length > 0) return { programs, missing };
  try {
    programs.patroni = process.env.PATRONI_COMMAND || installedPatroni();
    execFileSync(programs.patroni, ['--version'], { uid: NOBODY, gid: NOBODY, cwd: '/', stdio: 'pipe' });
  } catch (error) {
    missing.push(
      `Patroni (PATRONI_COMMAND=<path> names one): ${String(error.stderr || error.message).trim()}`,
    );
  }
  return { programs, missing };
}

function onPath(name) {
  const directories = [...(process.env.PATH || '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin'];
  return directories.map((directory) => path.join(directory, name)).find((file) => fs.existsSync(file));
}

function postgresDirectory() {
  if (!fs.existsSync(POSTGRES)) return undefined;
  return fs
    .readdirSync(POSTGRES)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => path.join(POSTGRES, version, 'bin'))
    .find((directory) => NEEDED.every((name) => fs.existsSync(path.join(directory, name))));
}

/** The environment is there whole or not at all. */
function installedPatroni() {
  const home = path.join(CACHE, 'patroni');
  const command = path.join(home, 'bin', 'patroni');
  if (fs.existsSync(command)) return command;
  fs.mkdirSync(CACHE, { recursive: true });
  fs.rmSync(home, { recursive: true, force: true });
  // An environment cannot be moved, so a half-made one is removed.
  const made = [
    [PYTHON, ['-m', 'venv', home]],
    [path.join(home, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...PACKAGES]],
  ].every(
    ([program, args]) => spawnSync(program, args, { stdio: 'pipe', timeout: MOST_MILLIS }).status === 0,
  );
  if (made) return command;
  fs.rmSync(home, { recursive: true, force: true });
  throw new Error(`python3 -m venv and pip install ${PACKAGES.join(' ')} failed`);
}

module.exports = { patroniPrograms, onPath };
