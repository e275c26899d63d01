'use strict';

// A proxy that is as far away as it is told, and counts round trips: each time a client sends after it was answered.

const net = require('node:net');
const { once } = require('node:events');
const { setTimeout: pause } = require('node:timers/promises');

class CountingProxy {
  #target;
  #listener;
  #oneWay;
  /** Round trips of each connection since the last `reset`. */
  #trips = new Map();

  /** @param {{ host: string, port: number }} target @param {number} roundTrip milliseconds there and back */
  static async start(target, roundTrip) {
    const proxy = new CountingProxy(target, roundTrip);
    proxy.#listener.listen(0, '127.0.0.1');
    await once(proxy.#listener, 'listening');
    Object.assign(proxy, { host: '127.0.0.1', port: proxy.#listener.address().port });
    return proxy;
  }

  constructor(target, roundTrip) {
    this.#target = target;
    this.#oneWay = roundTrip / 2;
    this.#listener = net.createServer({ noDelay: true }, (client) => this.#accept(client));
  }

  #accept(client) {
    const server = net.connect({ ...this.#target, noDelay: true });
    let mayCount = true;
    this.#trips.set(client, 0);
    const forward = (from, to, seen) => {
      let before = Promise.resolve();
      from.on('data', (chunk) => {
        seen();
        const arrival = pause(this.#oneWay);
        before = Promise.all([before, arrival]).then(() => void (to.destroyed || to.write(chunk)));
      });
      from.on('error', () => {});
      from.on('close', () => void before.then(() => to.destroy()));
    };
    forward(client, server, () => {
      if (mayCount) this.#trips.set(client, this.#trips.get(client) + 1);
      mayCount = false;
    });
    forward(server, client, () => (mayCount = true));
  }

  reset() {
    for (const client of this.#trips.keys()) {
      if (client.destroyed) this.#trips.delete(client);
      else this.#trips.set(client, 0);
    }
  }

  /** The round trips of the connection that made most of them. */
  most() {
    return Math.max(0, ...this.#trips.values());
  }

  async stop() {
    for (const client of this.#trips.keys()) client.destroy();
    this.#listener.close();
    await once(this.#listener, 'close');
  }
}

module.exports = { CountingProxy };
