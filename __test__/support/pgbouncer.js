'use strict';

// A PgBouncer in front of a server, with few server connections, so that clients share them. Where none
// can be had the tests that need it skip themselves aloud.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { packagedPgBouncers } = require('./pgbouncer-packages');
const { freePort } = require('./ports');
const { unprivileged } = require('./unprivileged');
const { until } = require('./until');

/**
 * The PgBouncers to test with: the one that PGBOUNCER names, else the installed one, and those of Debian's packages.
 * @returns {{ name: string, version: number[], command: string, args: string[] }[]}
 */
function findPgBouncers() {
  if (process.env.PGBOUNCER)
    return [described({ name: process.env.PGBOUNCER, command: process.env.PGBOUNCER, args: [] })];
  const directories = [...(process.env.PATH || '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin'];
  const installed = directories
    .map((directory) => path.join(directory, 'pgbouncer'))
    .find((file) => fs.existsSync(file));
  const { found, missing } = packagedPgBouncers();
  for (const why of missing) process.stderr.write(`skipped: ${why} (PGBOUNCER=<path> names one)\n`);
  if (installed) found.unshift({ name: 'installed', command: installed, args: [] });
  return found.map(described);
}

function described({ name, command, args }) {
  const { stdout } = spawnSync(command, [...args, '--version'], { encoding: 'utf8' });
  const version = /(\d+)\.(\d+)/.exec(stdout).slice(1).map(Number);
  return { name: `${version.join('.')} ${name}`, version, command, args };
}

/**
 * @param {{ command: string, args: string[] }} program of `findPgBouncers`
 * @param {{ host: string, port: number, user: string, password: string, database: string }} server
 * @param {object} [settings] lines of pgbouncer.ini
 * @returns {Promise<{ host: string, port: number, stop: () => Promise<void> }>}
 */
async function startPgBouncer(program, server, settings = {}) {
  const rights = unprivileged(program.command);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-pgbouncer-'));
  const port = settings.listen_port ?? (await freePort());
  const lines = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: 'transaction',
    default_pool_size: 3,
    max_client_conn: 200,
    logfile: path.join(directory, 'log'),
    ...settings,
  };
  const { host, user, password, database } = server;
  const target = `host=${host} port=${server.port} user=${user} password=${password} dbname=${database}`;
  const text = Object.entries(lines).map(([name, value]) => `${name} = ${value}\n`);
  const file = path.join(directory, 'pgbouncer.ini');
  fs.writeFileSync(file, `[databases]\n* = ${target}\n[pgbouncer]\n${text.join('')}`);
  for (const owned of [directory, file]) rights.own(owned);
  const child = rights.spawn(program.command, [...program.args, '-q', file], {
    stdio: 'ignore',
    cwd: directory,
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
    fs.rmSync(directory, { recursive: true, force: true });
  };
  try {
    await until(() => accepts(port), { what: 'PgBouncer to accept connections' });
  } catch (error) {
    await stop();
    throw error;
  }
  return { host: '127.0.0.1', port, stop };
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

module.exports = { findPgBouncers, startPgBouncer };
