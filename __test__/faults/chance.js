'use strict';

// Chance that can be repeated: the same seed gives the same decisions. Whoever decides on its own (the
// weather, each worker) has a stream of its own, so that their timing does not change what they decide.

/** A generator (mulberry32) for the stream `name` of a run with that seed. */
class Chance {
  #state;

  constructor(seed, name = '') {
    this.#state = seed >>> 0;
    for (const letter of name)
      this.#state = (Math.imul(this.#state ^ letter.codePointAt(0), 0x9e3779b1) + 0x7f4a7c15) >>> 0;
  }

  /** In [0, 1). */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  isTrue(probability) {
    return this.next() < probability;
  }

  pick(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  /** A key of `weights`, in proportion to its weight. */
  weighted(weights) {
    const entries = Object.entries(weights);
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      left -= weight;
      if (left < 0) return name;
    }
    return entries.at(-1)[0];
  }
}

module.exports = { Chance };
