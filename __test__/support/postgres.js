'use strict';

// A PostgreSQL server of our own: made in a temporary directory, started on a free port with TLS
// and one user per way of authenticating, and gone with everything it wrote when it is stopped or
// when the process that started it ends, however it ends (see watchdog.js).

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn, execFile } = require('node:child_process');
const { once } = require('node:events');
const { promisify } = require('node:util');
const { embeddedBinaries } = require('./binaries');
const { makeCertificates } = require('./certificates');
const { freePort } = require('./ports');
const { alive, freeSharedMemory, isAttached, lockFile } = require('./postmaster');
const { copyPrimary } = require('./standby');
const { makeUsers, hostBasedAuthentication, createUsers } = require('./users');
const { unprivileged } = require('./unprivileged');
const { until } = require('./until');

const HOST = '127.0.0.1';
const DATABASE = 'pgpool_test';
const STOP_SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' };
const WINDOWS = process.platform === 'win32';

const SETTINGS = {
  max_connections: 200,
  shared_buffers: '64MB',
  // The data is thrown away; a crash of the server (not of the machine) loses nothing all the same.
  fsync: 'off',
  full_page_writes: 'off',
  dynamic_shared_memory_type: WINDOWS ? 'windows' : 'mmap',
  password_encryption: 'scram-sha-256',
  listen_addresses: 'localhost',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/**
 * @param {object} [options]
 * @param {number} [options.port] default: a free one
 * @param {boolean|'expired'|'wrongHost'|'foreign'} [options.tls] false: no TLS; a name: the server
 *   shows that certificate. Default true: a right one.
 * @param {Record<string, string|number>} [options.settings] lines of postgresql.conf
 * @param {object} [options.standbyOf] a running server of ours: this one is its streaming standby
 */
async function startPostgres(options = {}) {
  const server = new PostgresServer(options);
  try {
    await server.create();
    return server;
  } catch (error) {
    await server.stop('immediate').catch(() => {});
    throw error;
  }
}

class PostgresServer {
  host = HOST;
  database = DATABASE;
  embedded = true;
  pid = 0;
  #options;
  #binaries;
  #rights;
  #watchdog;
  #child = null;

  constructor(options) {
    this.#options = options;
    this.#binaries = embeddedBinaries();
    this.#rights = unprivileged(this.#binaries.postgres);
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-'));
    this.dataDir = path.join(this.directory, 'data');
    this.socketDir = this.directory;
    this.logFile = path.join(this.directory, 'postgres.log');
    this.users = makeUsers();
    this.user = this.users.postgres.user;
    this.password = this.users.postgres.password;
    this.#watchdog = startWatchdog(this.directory);
  }

  get url() {
    return `postgres://${this.user}:${this.password}@${this.host}:${this.port}/${this.database}`;
  }

  async create() {
    this.port = this.#options.port ?? (await freePort());
    // Others need to reach the socket; the data directory below is private to the server.
    fs.chmodSync(this.directory, 0o755);
    fs.mkdirSync(this.dataDir, { mode: 0o700 });
    for (const owned of [this.directory, this.dataDir]) this.#rights.own(owned);
    if (this.#options.standbyOf) return this.#follow(this.#options.standbyOf);
    const certificates = makeCertificates(this.directory, this.users.cert_user.user);
    [this.tls] = await Promise.all([certificates, this.#initdb()]);
    this.caFile = this.tls.caFile;
    this.ca = this.tls.ca;
    this.#configure();
    await this.start();
    await createUsers((sql, database) => this.#run(sql, [], database), this.users, this.database);
  }

  async #follow(primary) {
    const { users, user, password, tls, caFile, ca } = primary;
    Object.assign(this, { users, user, password, tls, caFile, ca });
    for (const owned of await copyPrimary(primary, this)) this.#rights.own(owned);
    await this.start();
  }

  async #initdb() {
    const passwordFile = path.join(this.directory, 'password');
    fs.writeFileSync(passwordFile, this.password, { mode: 0o600 });
    this.#rights.own(passwordFile);
    const args = ['-D', this.dataDir, '-U', this.user, `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
    const child = this.#rights.spawn(
      this.#binaries.initdb,
      [...args, '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
      { stdio: ['ignore', 'pipe', 'pipe'], env: this.#environment(), cwd: this.directory },
    );
    this.#tell(`pid ${child.pid}`);
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    const [code] = await once(child, 'close');
    this.#tell('pid 0');
    fs.rmSync(passwordFile);
    if (code !== 0) throw new Error(`initdb failed (${code}): ${output}`);
  }

  #configure() {
    const { tls = true, settings } = this.#options;
    const lines = { ...SETTINGS, port: this.port, unix_socket_directories: WINDOWS ? '' : this.socketDir };
    if (tls) {
      const shown = this.tls[tls === true ? 'server' : tls];
      const serverKey = path.join(this.directory, 'shown.key');
      fs.copyFileSync(shown.keyFile, serverKey);
      fs.chmodSync(serverKey, 0o600);
      this.#rights.own(serverKey);
      Object.assign(lines, {
        ssl: 'on',
        ssl_cert_file: shown.certFile,
        ssl_key_file: serverKey,
        ssl_ca_file: this.caFile,
      });
    }
    Object.assign(lines, settings);
    const quote = (value) => `'${String(value).replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
    const text = Object.entries(lines).map(([name, value]) => `${name} = ${quote(value)}\n`);
    fs.appendFileSync(path.join(this.dataDir, 'postgresql.conf'), text.join(''));
    fs.writeFileSync(path.join(this.dataDir, 'pg_hba.conf'), hostBasedAuthentication({ tls: Boolean(tls) }));
  }

  /** Starts the server that `kill` or `restart` ended; resolves when it accepts connections. */
  async start() {
    const log = fs.openSync(this.logFile, 'a');
    try {
      if (WINDOWS) {
        // pg_ctl gives up the administrator's rights, with which postgres refuses to run.
        const starter = spawn(this.#binaries.pgCtl, ['start', '-w', '-D', this.dataDir, '-l', this.logFile], {
          stdio: 'ignore',
        });
        await once(starter, 'exit');
        this.pid = lockFile(this.dataDir)?.pid ?? 0;
      } else {
        const child = this.#rights.spawn(this.#binaries.postgres, ['-D', this.dataDir], {
          // The log goes to a file: a pipe would stop the server when nobody reads it.
          stdio: ['ignore', log, log],
          env: this.#environment(),
          cwd: this.directory,
          detached: true,
        });
        child.on('error', () => {});
        child.unref();
        this.#child = child;
        this.pid = child.pid;
      }
    } finally {
      fs.closeSync(log);
    }
    this.#tell(`pid ${this.pid}`);
    await until(() => this.#isReady(), { what: 'the server to accept connections' });
  }

  #isReady() {
    if (!this.pid || !alive(this.pid)) {
      throw new Error(`the server did not start:\n${fs.readFileSync(this.logFile, 'utf8').slice(-2000)}`);
    }
    const lock = lockFile(this.dataDir);
    return lock !== null && lock.pid === this.pid && lock.state === 'ready';
  }

  /** Shuts the server down and removes its files. `mode`: smart, fast or immediate. Never throws for a dead one. */
  async stop(mode = 'fast') {
    await this.#shutDown(mode);
    freeSharedMemory(this.dataDir);
    fs.rmSync(this.directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    this.#tell('done');
    this.#watchdog.stdin.end();
  }

  async restart(mode = 'fast') {
    await this.#shutDown(mode);
    await this.start();
  }

  /** Sends a signal to the postmaster, for instance SIGKILL, SIGSTOP or SIGCONT. */
  kill(signal) {
    process.kill(this.pid, signal);
  }

  /** Resolves when the server's processes are gone, for instance after `kill('SIGKILL')`. */
  async exited() {
    // It cannot be started again before it was collected by its parent, and before its own children have ended.
    const isCollected = () =>
      !this.#child || this.#child.exitCode !== null || this.#child.signalCode !== null;
    await until(() => !alive(this.pid) && isCollected() && !isAttached(this.dataDir), {
      what: 'the server to end',
    });
    this.pid = 0;
    this.#tell('pid 0');
  }

  async #shutDown(mode) {
    if (this.pid === 0) return;
    if (WINDOWS) {
      await promisify(execFile)(this.#binaries.pgCtl, ['stop', '-w', '-m', mode, '-D', this.dataDir]).catch(
        () => {},
      );
    } else {
      this.#signal('SIGCONT', STOP_SIGNALS[mode]);
    }
    try {
      await this.exited();
    } catch (error) {
      this.#signal('SIGKILL');
      await this.exited();
      throw error;
    }
  }

  #signal(...signals) {
    try {
      for (const signal of signals) this.kill(signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }

  /** One statement as the superuser on a connection of its own; resolves to pg's result. */
  query(sql, values) {
    return this.#run(sql, values, this.database);
  }

  async #run(sql, values, database) {
    const { Client } = require('pg');
    const { host, port, user, password } = this;
    const client = new Client({ host, port, user, password, database });
    // A server that goes down meanwhile is told by the rejection; an event that nobody hears would end the run.
    client.on('error', () => {});
    await client.connect();
    try {
      return await client.query(sql, values);
    } finally {
      await client.end();
    }
  }

  #environment() {
    const { PATH, SystemRoot, TEMP, TMP } = process.env;
    return { PATH, SystemRoot, TEMP, TMP, HOME: this.dataDir, LC_ALL: 'C' };
  }

  #tell(line) {
    this.#watchdog.stdin.write(`${line}\n`);
  }

  /** What another process needs to know of the server, as plain data. */
  toJSON() {
    const {
      embedded,
      host,
      port,
      user,
      password,
      database,
      url,
      pid,
      dataDir,
      socketDir,
      logFile,
      caFile,
      ca,
      tls,
      users,
    } = this;
    return {
      embedded,
      host,
      port,
      user,
      password,
      database,
      url,
      pid,
      dataDir,
      socketDir,
      logFile,
      caFile,
      ca,
      tls,
      users,
    };
  }
}

function startWatchdog(directory) {
  const watchdog = spawn(process.execPath, [path.join(__dirname, 'watchdog.js'), directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: os.tmpdir(),
    env: { PATH: process.env.PATH, SystemRoot: process.env.SystemRoot },
  });
  // It must never keep its owner alive, and outlives it only to clean up.
  watchdog.unref();
  watchdog.stdin.unref();
  watchdog.stdin.on('error', () => {});
  return watchdog;
}

module.exports = { startPostgres };
