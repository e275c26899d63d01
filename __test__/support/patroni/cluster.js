'use strict';

// Three PostgreSQL servers that Patroni keeps, in synchronous mode, with etcd beside them: which of them leads, what
// Patroni can be asked to do, and when the cluster is whole again. Times are Patroni's shortest, so a leader that
// vanishes is replaced after twenty seconds.

const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { Client } = require('pg');
const { until } = require('../until');
const { HUB, Machine, NOBODY, makeNetwork } = require('./network');

const SIZE = 3;
const POSTGRES_PORT = 5432;
const REST_PORT = 8008;
const ETCD_PORT = 2379;
const PASSWORD = 'patroni-of-the-tests';
// The least that Patroni takes; a leader's key in etcd lives for `ttl` seconds.
const TIMES = { ttl: 20, loop_wait: 1, retry_timeout: 5 };
const WHOLE_MILLIS = 120_000;
const ASK_MILLIS = 2_000;

class Cluster {
  machines = [];
  /** What Patroni and PostgreSQL say is kept here. */
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-patroni-'));
  #programs;
  #etcd = null;

  /** @param programs of programs.js */
  static async start(programs) {
    const cluster = new Cluster(programs);
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  constructor(programs) {
    this.#programs = programs;
    fs.chmodSync(this.directory, 0o755);
  }

  async #start() {
    makeNetwork();
    const url = `http://${HUB}:${ETCD_PORT}`;
    const peers = `http://${HUB}:${ETCD_PORT + 1}`;
    this.#etcd = spawn(
      this.#programs.etcd,
      [
        ...['--data-dir', path.join(this.directory, 'etcd'), '--name', 'etcd'],
        ...['--listen-client-urls', url, '--advertise-client-urls', url],
        ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers],
        ...['--initial-cluster', `etcd=${peers}`],
      ],
      { stdio: ['ignore', 'ignore', this.#log('etcd')] },
    );
    for (let index = 0; index < SIZE; index++) this.machines.push(await Machine.make(index));
    this.machines.forEach((machine) => {
      this.startNode(machine);
    });
    await this.whole();
  }

  #log(name) {
    return fs.openSync(path.join(this.directory, `${name}.log`), 'a');
  }

  /** Starts Patroni on a machine, which starts the server. */
  startNode(machine) {
    const name = nameOf(machine);
    const home = path.join(this.directory, name);
    const file = `${home}.yml`;
    if (!fs.existsSync(home)) {
      fs.mkdirSync(home);
      fs.chownSync(home, NOBODY, NOBODY);
      // Every YAML reader reads JSON.
      fs.writeFileSync(file, JSON.stringify(settings(machine, home, this.#programs)));
    }
    const log = this.#log(name);
    machine.spawn(this.#programs.patroni, [file], {
      cwd: home,
      env: { ...process.env, HOME: home, PATH: `${this.#programs.postgres}:${process.env.PATH}` },
      stdio: ['ignore', log, log],
    });
    fs.closeSync(log);
  }

  /** Where to connect. */
  get place() {
    const hosts = this.machines.map(({ address }) => ({ host: address, port: POSTGRES_PORT }));
    return { hosts, user: 'postgres', password: PASSWORD, database: 'postgres' };
  }

  clientOf({ address }, options) {
    const { user, password, database } = this.place;
    return new Client({ host: address, port: POSTGRES_PORT, user, password, database, ...options });
  }

  /** Runs a statement on a machine's server. */
  async query(machine, text, values) {
    const client = this.clientOf(machine, {
      connectionTimeoutMillis: ASK_MILLIS,
      query_timeout: WHOLE_MILLIS,
    });
    client.on('error', () => {});
    await client.connect();
    try {
      return await client.query(text, values);
    } finally {
      await client.end();
    }
  }

  /** Resolves when there is a leader, two standbys stream from it, and one of them is synchronous. */
  async whole() {
    let seen = [];
    const isWhole = async () => {
      seen = await this.#members();
      const roles = seen.map(({ role, state }) => `${role} ${state}`).sort();
      return roles.join() === 'leader running,replica streaming,sync_standby streaming';
    };
    await until(isWhole, { timeout: WHOLE_MILLIS, every: 200, what: 'three members' }).catch(() => {
      throw new Error(`the cluster is not whole after ${WHOLE_MILLIS} ms: ${JSON.stringify(seen)}`);
    });
    return this.roles();
  }

  /** The machine that leads, the synchronous standby, and the other. */
  async roles() {
    const members = await this.#members();
    const machineOf = (wanted) =>
      this.machines.find((machine) =>
        members.some(({ name, role }) => role === wanted && name === nameOf(machine)),
      );
    return { leader: machineOf('leader'), standby: machineOf('sync_standby'), other: machineOf('replica') };
  }

  async #members() {
    for (const machine of this.machines) {
      const answer = await ask(machine, 'GET', '/cluster').catch(() => undefined);
      if (answer?.status === 200) return JSON.parse(answer.body).members;
    }
    return [];
  }

  /** Asks Patroni of the leader to hand over. `kind`: switchover or failover. */
  async handOver(kind, { leader, standby }) {
    const wish = { candidate: nameOf(standby), ...(kind === 'switchover' && { leader: nameOf(leader) }) };
    const { status, body } = await ask(leader, 'POST', `/${kind}`, wish, WHOLE_MILLIS);
    if (status !== 200) throw new Error(`Patroni refused the ${kind}: ${status} ${body}`);
  }

  async stop() {
    for (const machine of this.machines) await machine.stop();
    this.#etcd?.kill('SIGKILL');
    fs.rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function nameOf({ address }) {
  return `node-${address.split('.').at(-1)}`;
}

function settings({ address }, home, { postgres }) {
  const login = (username) => ({ username, password: PASSWORD });
  const rest = `${address}:${REST_PORT}`;
  const place = `${address}:${POSTGRES_PORT}`;
  return {
    scope: 'cluster',
    name: nameOf({ address }),
    restapi: { listen: rest, connect_address: rest },
    etcd3: { host: `${HUB}:${ETCD_PORT}` },
    bootstrap: {
      dcs: {
        ...TIMES,
        synchronous_mode: true,
        postgresql: {
          use_pg_rewind: true,
          parameters: { max_connections: 150, fsync: 'off', wal_log_hints: 'on', shared_buffers: '32MB' },
        },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'no-sync'],
    },
    postgresql: {
      listen: place,
      connect_address: place,
      data_dir: path.join(home, 'data'),
      bin_dir: postgres,
      pgpass: path.join(home, 'pgpass'),
      authentication: { superuser: login('postgres'), replication: login('replicator') },
      parameters: { unix_socket_directories: home },
      pg_hba: [
        'local all all trust',
        'host all all all scram-sha-256',
        'host replication all all scram-sha-256',
      ],
    },
    tags: {},
  };
}

/** Asks Patroni of a machine. */
function ask({ address }, method, wish, body, timeout = ASK_MILLIS) {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: address,
      port: REST_PORT,
      path: wish,
      method,
      agent: false,
      timeout,
    });
    request.on('timeout', () => request.destroy(new Error(`${address} does not answer`)));
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, body: text }));
      response.on('error', reject);
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

module.exports = { Cluster, POSTGRES_PORT, REST_PORT };
