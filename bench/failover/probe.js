'use strict';

// The earliest moment at which a server takes writes: twenty times a second each server is asked on a connection of its
// own with pg, which is made anew when it is lost or silent.

const { now, sleep } = require('../bad-day/clock');

const EVERY = 50;
const PATIENCE = 1_000;

class Probe {
  #cluster;
  #isRunning = false;
  #watches = [];
  /** Of each machine that took a write: when it was acknowledged first. */
  #first = new Map();

  constructor(cluster) {
    this.#cluster = cluster;
  }

  start() {
    this.#isRunning = true;
    this.#watches = this.#cluster.machines.map((machine) => this.#watch(machine));
  }

  /** When another machine than this one took a write first. */
  firstWriteBeside(leader) {
    const times = [...this.#first].filter(([machine]) => machine !== leader).map(([, at]) => at);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  async #watch(machine) {
    let client = null;
    while (this.#isRunning) {
      const begun = now();
      try {
        client ??= await this.#connect(machine);
        await this.#ask(client, machine);
      } catch {
        // Ending it politely would wait for a server that is silent.
        client?.connection.stream.destroy();
        client = null;
      }
      await sleep(Math.max(1, begun + EVERY - now()));
    }
    await client?.end();
  }

  async #connect(machine) {
    const options = { connectionTimeoutMillis: PATIENCE, query_timeout: PATIENCE };
    const client = this.#cluster.clientOf(machine, options);
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  async #ask(client, machine) {
    const { rows } = await client.query('SELECT pg_is_in_recovery() AS standby');
    if (rows[0].standby) return;
    await client.query("INSERT INTO bad_day (key) VALUES ('probe')");
    if (!this.#first.has(machine)) this.#first.set(machine, now());
  }

  async stop() {
    this.#isRunning = false;
    await Promise.all(this.#watches);
  }
}

module.exports = { Probe };
