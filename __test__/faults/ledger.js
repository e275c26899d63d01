'use strict';

// What the application believes about each of its writes, to be compared with what the server holds.
//
//   acknowledged  the promise was fulfilled: it is there exactly once
//   aborted       it cannot have happened (COMMIT never sent, rolled back): it is not there
//   unknown       the answer was lost: it is there once or not at all
//   pending       the promise has not settled: nothing may be left so at the end

const TABLE = 'ledger';

const STATES = ['', 'pending', 'acknowledged', 'aborted', 'unknown'];

/**
 * The states of writes by key: `<writer>.<turn>`, and for the second row of a transaction the same with a
 * `+`. An hour's storm has a million of them, so each takes a number in a list and no object of its own.
 */
class States {
  #writers = new Map();

  set(key, state) {
    const [, writer, turn, second] = /^(\w+)\.(\d+)(\+?)$/.exec(key);
    if (!this.#writers.has(writer)) this.#writers.set(writer, []);
    const list = this.#writers.get(writer);
    const index = Number(turn) * 2 + second.length;
    while (list.length <= index) list.push(0);
    list[index] = STATES.indexOf(state);
  }

  /** `[key, state]` of each write. */
  *[Symbol.iterator]() {
    for (const [writer, list] of this.#writers) {
      for (let index = 0; index < list.length; index++) {
        if (list[index] !== 0) yield [`${writer}.${index >> 1}${index & 1 ? '+' : ''}`, STATES[list[index]]];
      }
    }
  }
}

class Ledger {
  #states = new States();
  /** Answers that were not the answer to the question asked. */
  wrong = [];
  /** Promises that did not settle in their time. */
  hung = [];

  /** No key is unique to the server: a write that happens twice is to be seen. */
  static create = `CREATE TABLE ${TABLE} (key text NOT NULL, at timestamptz DEFAULT clock_timestamp())`;
  static insert = `INSERT INTO ${TABLE} (key) VALUES ($1)`;

  begin(keys) {
    for (const key of keys) this.#states.set(key, 'pending');
  }

  settle(keys, state) {
    for (const key of keys) this.#states.set(key, state);
  }

  counts() {
    const counts = { acknowledged: 0, aborted: 0, unknown: 0, pending: 0 };
    for (const [, state] of this.#states) counts[state] += 1;
    return counts;
  }

  /** Compares with the server. `query` runs a statement and resolves to its result. */
  async audit(query) {
    const { rows } = await query(`SELECT key, count(*)::int AS times FROM ${TABLE} GROUP BY key`);
    const times = new Map(rows.map((row) => [row.key, row.times]));
    const faults = { lost: [], doubled: [], risen: [], strange: [], torn: [] };
    const strange = new Set(times.keys());
    for (const [key, state] of this.#states) {
      strange.delete(key);
      const count = times.get(key) ?? 0;
      if (count > 1) faults.doubled.push(key);
      else if (state === 'acknowledged' && count === 0) faults.lost.push(key);
      else if (state === 'aborted' && count > 0) faults.risen.push(key);
      // The rows of a transaction are all there or none.
      if (key.endsWith('+') && count !== (times.get(key.slice(0, -1)) ?? 0)) faults.torn.push(key);
    }
    faults.strange.push(...strange);
    return { ...faults, wrong: this.wrong, hung: this.hung, counts: this.counts(), rows: rows.length };
  }
}

module.exports = { Ledger, TABLE };
