'use strict';

// A load of writers, each of which writes again a moment after it was answered: half of them single rows, half of them
// transactions of two. Each row has a key that nothing else has.

const { now, sleep } = require('./clock');
const { nameOf, toldBy } = require('./told');

const PAUSE = 50;

class Writers {
  #ask;
  #count;
  #prefix;
  #records = [];
  #open = new Set();
  #isRunning = false;

  /**
   * @param {{ insert, transaction: (key: string) => Promise }} ask
   * @param {{ writers: number, prefix: string }} settings how many, and how keys begin
   */
  constructor(ask, { writers, prefix }) {
    this.#ask = ask;
    this.#count = writers;
    this.#prefix = prefix;
  }

  start() {
    this.#isRunning = true;
    for (let index = 0; index < this.#count; index++) void this.#write(index);
  }

  pause() {
    this.#isRunning = false;
  }

  async #write(writer) {
    for (let turn = 0; this.#isRunning; turn++) {
      const key = `${this.#prefix}${writer}.${turn}`;
      if (writer % 2 === 0) await this.#record('insert', key, [key]);
      else await this.#record('transaction', key, [`${key}+`, `${key}-`]);
      await sleep(PAUSE);
    }
  }

  async #record(way, key, keys) {
    const record = { begun: now(), ended: null, told: null, error: null, host: null };
    this.#open.add(record);
    try {
      const answer = await this.#ask[way](key);
      // The server that took it, where the statement asks for that.
      record.host = answer?.rows?.[0]?.host ?? null;
      record.told = 'done';
    } catch (error) {
      record.told = toldBy(error);
      record.error = nameOf(error);
    }
    record.ended = now();
    this.#open.delete(record);
    for (const one of keys) this.#records.push({ kind: 'insert', key: one, ...record });
  }

  /** As of `Load`. What has not settled is a record without an end. */
  async settle(patience) {
    this.pause();
    const limit = now() + patience;
    while (this.#open.size > 0 && now() < limit) await sleep(10);
    return [...this.#records, ...[...this.#open].map((record) => ({ kind: 'insert', key: '', ...record }))];
  }
}

module.exports = { Writers };
