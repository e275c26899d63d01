'use strict';

// The load: requests arrive at a steady rate whatever becomes of those before, three reads to one insert unless a row
// says otherwise. Each insert has a key that nothing else has, so that the table tells afterwards what became of it.

const { now, sleep } = require('./clock');
const { nameOf, toldBy } = require('./told');

class Load {
  #ask;
  #gap;
  #prefix;
  #writes;
  #records = [];
  #open = new Set();
  #timer = null;
  #due = 0;

  /**
   * @param {{ read, insert, lent: (key: string, argument) => Promise }} ask
   * @param {{ rate: number, writes: number, prefix: string }} settings requests a second, the share of inserts, how keys begin
   */
  constructor(ask, { rate, writes, prefix }) {
    this.#ask = ask;
    this.#gap = 1000 / rate;
    this.#writes = writes;
    this.#prefix = prefix;
  }

  start() {
    this.#due = now();
    this.#tick();
  }

  pause() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #tick() {
    for (; this.#due <= now(); this.#due += this.#gap) this.#send();
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, this.#due - now()));
  }

  /** That many at once, beside the steady ones. */
  burst(count) {
    for (let index = 0; index < count; index++) this.#send();
  }

  /** That many hold a client each for `millis`. */
  lend(count, millis) {
    for (let index = 0; index < count; index++) this.#record('lent', millis);
  }

  #send() {
    const index = this.#records.length;
    const isInsert = Math.floor((index + 1) * this.#writes) > Math.floor(index * this.#writes);
    this.#record(isInsert ? 'insert' : 'read');
  }

  #record(kind, argument) {
    const index = this.#records.length;
    const record = {
      kind,
      key: `${this.#prefix}${index}`,
      begun: now(),
      ended: null,
      told: null,
      error: null,
    };
    this.#records.push(record);
    const settled = (told, error) => {
      record.ended = now();
      record.told = told;
      record.error = error;
      this.#open.delete(record);
    };
    this.#open.add(record);
    Promise.resolve()
      .then(() => this.#ask[kind](record.key, argument))
      .then(
        () => settled('done', null),
        (error) => settled(toldBy(error), nameOf(error)),
      );
  }

  /** Resolves when all have settled, or when `patience` milliseconds are over. */
  async settle(patience) {
    this.pause();
    const limit = now() + patience;
    while (this.#open.size > 0 && now() < limit) await sleep(10);
    return this.#records;
  }
}

module.exports = { Load };
