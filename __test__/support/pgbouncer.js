'use strict';

// A PgBouncer in front of a server, with few server connections, so that clients share them. Where
// no PgBouncer is installed there is none: `findPgBouncer` says so, and the tests that need it skip
// themselves aloud.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { freePort } = require('./postgres');
const { unprivileged } = require('./unprivileged');
const { until } = require('./until');

/** The path of the binary (PGBOUNCER names another than the system's), or undefined. */
function findPgBouncer() {
  if (process.env.PGBOUNCER) return process.env.PGBOUNCER;
  const directories = [...(process.env.PATH || '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin'];
  return directories.map((directory) => path.join(directory, 'pgbouncer')).find((file) => fs.existsSync(file));
}

/**
 * @param {{ host: string, port: number, user: string, password: string, database: string }} server
 * @param {object} [settings] lines of pgbouncer.ini
 * @returns {Promise<{ host: string, port: number, stop: () => Promise<void> }>}
 */
async function startPgBouncer(server, settings = {}) {
  const binary = findPgBouncer();
  const rights = unprivileged(binary);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-pgbouncer-'));
  const port = await freePort();
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
  const child = rights.spawn(binary, ['-q', file], { stdio: 'ignore', cwd: directory });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
    fs.rmSync(directory, { recursive: true, force: true });
  };
  try {
    await until(() => accepts(port), { timeout: 15_000, what: 'PgBouncer to accept connections' });
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

module.exports = { findPgBouncer, startPgBouncer };
