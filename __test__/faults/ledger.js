'use strict';

// What the application believes about each of its writes, to be compared with what the server holds.
//
//   acknowledged  the promise was fulfilled: it is there exactly once
//   aborted       it cannot have happened (COMMIT never sent, rolled back): it is not there
//   unknown       the answer was lost: it is there once or not at all
//   pending       the promise has not settled: nothing may be left so at the end

const TABLE = 'ledger';

class Ledger {
  #states = new Map();
  /** Writes whose rows belong together: all there or none. */
  #groups = [];
  /** Answers that were not the answer to the question asked. */
  wrong = [];
  /** Promises that did not settle in their time. */
  hung = [];

  /** No key is unique to the server: a write that happens twice is to be seen. */
  static create = `CREATE TABLE ${TABLE} (key text NOT NULL, at timestamptz DEFAULT clock_timestamp())`;
  static insert = `INSERT INTO ${TABLE} (key) VALUES ($1)`;

  begin(keys) {
    for (const key of keys) this.#states.set(key, 'pending');
    if (keys.length > 1) this.#groups.push(keys);
  }

  settle(keys, state) {
    for (const key of keys) this.#states.set(key, state);
  }

  counts() {
    const counts = { acknowledged: 0, aborted: 0, unknown: 0, pending: 0 };
    for (const state of this.#states.values()) counts[state] += 1;
    return counts;
  }

  /** Compares with the server. `query` runs a statement and resolves to its result. */
  async audit(query) {
    const { rows } = await query(`SELECT key, count(*)::int AS times FROM ${TABLE} GROUP BY key`);
    const times = new Map(rows.map((row) => [row.key, row.times]));
    const faults = { lost: [], doubled: [], risen: [], strange: [], torn: [] };
    for (const [key, state] of this.#states) {
      const count = times.get(key) ?? 0;
      if (count > 1) faults.doubled.push(key);
      else if (state === 'acknowledged' && count === 0) faults.lost.push(key);
      else if (state === 'aborted' && count > 0) faults.risen.push(key);
    }
    for (const key of times.keys()) if (!this.#states.has(key)) faults.strange.push(key);
    for (const keys of this.#groups) {
      if (new Set(keys.map((key) => times.get(key) ?? 0)).size > 1) faults.torn.push(keys);
    }
    return { ...faults, wrong: this.wrong, hung: this.hung, counts: this.counts(), rows: rows.length };
  }
}

module.exports = { Ledger, TABLE };
