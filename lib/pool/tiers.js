'use strict';

// The pools of a set of tiers, one per name: made when one is first asked for, then filled to their minimum. With the
// tiers off all names lead to one pool; only tiers that connect elsewhere, or as somebody else, keep a pool of their
// own. A shared maximum bounds them together in either position.

const { nextTick } = require('../async/timers');
const { changedBreaker, checkAdaptive, checkBreaker, checkRetry } = require('../config/core-settings');
const { ConfigurationError } = require('../errors');
const { bridge } = require('../native/bridge');
const { budgetProblems } = require('../config/environment');
const { sizeProblems } = require('../config/pool-changes');
const { applyChanges, choiceOf } = require('../config/runtime-switches');
const { prefill, rest } = require('./open');

const SHARED = Symbol('shared');

class Tiers {
  /**
   * @param PoolClass the class of the pools
   * @param set `names`; `fallback`, the tier of any other name; `ranks` in a shared maximum by name, the lowest is
   *   served first; `totalMaxName`, which names that maximum in errors; `read`, which gives the configuration as
   *   `readEnvironment` does
   * @param budget the name under which `totalMax` is shared; all tiers of that name share it
   */
  constructor(PoolClass, { names, fallback, ranks, totalMaxName, read }, budget) {
    this.PoolClass = PoolClass;
    this.names = names;
    this.fallback = fallback;
    this.ranks = ranks;
    this.totalMaxName = totalMaxName;
    this.read = read;
    this.budget = budget;
    this.configuration = undefined;
    // What `configure` has set; undefined: as the environment says.
    this.tiered = undefined;
    this.open = new Map();
    // What `configure` has changed, for all pools and by tier.
    this.changes = {};
    this.measured = undefined;
    this.sizes = new Map();
    // Whether it hears when another evaluation of this package begins.
    this.rests = false;
    this.switches = {
      tiers: { check: choiceOf('tiers', 'on', 'off'), apply: (position) => this.switch(position) },
      retry: { check: checkRetry, apply: (retry) => this.change({ retry, failFast: isOff(retry) }) },
      sizes: { check: (sizes) => this.checkSizes(sizes), apply: (sizes) => this.resize(sizes) },
      monitor: { check: choiceOf('monitor', 'on', 'off'), apply: (position) => this.measure(position) },
      breaker: { check: checkBreaker, apply: (breaker) => this.change({ breaker }) },
      adaptive: { check: checkAdaptive, apply: (adaptive) => this.change({ adaptive }) },
    };
  }

  /**
   * @param name of a tier; any other name means the fallback
   * @throws ConfigurationError naming everything in the configuration that makes no sense
   */
  getPool(name) {
    this.readConfiguration();
    const key = this.poolOf(this.names.includes(name) ? name : this.fallback);
    let pool = this.open.get(key);
    if (pool === undefined || pool.ending) {
      pool = this.make(key);
      this.open.set(key, pool);
    }
    return pool;
  }

  /** An object with one lazy property per tier. */
  get pools() {
    const pools = {};
    for (const tier of this.names) {
      Object.defineProperty(pools, tier, { enumerable: true, get: () => this.getPool(tier) });
    }
    return Object.freeze(pools);
  }

  readConfiguration() {
    this.configuration ??= this.read();
    return this.configuration;
  }

  /** The name of the pool that a tier leads to. */
  poolOf(tier) {
    const isTiered = this.tiered ?? this.configuration.tiered;
    return isTiered || this.configuration.separate.includes(tier) ? tier : SHARED;
  }

  optionsOf(key) {
    const { shared, tiers } = this.configuration;
    return key === SHARED ? shared : tiers[key];
  }

  /**
   * At run time: 'off' leads all names to one pool, 'on' to their own again. Pools that no name leads to any more
   * close their connections as they become free; whoever holds such a pool may go on using it.
   */
  switch(position) {
    this.tiered = position === 'on';
    if (this.configuration === undefined) return;
    const wanted = this.names.map((tier) => this.poolOf(tier));
    for (const [key, pool] of this.open) {
      if (!wanted.includes(key)) pool._abandon();
      else if (!pool.ending) pool.configure({ min: this.sizesOf(key).min });
    }
  }

  /**
   * Turns pieces off and on at run time, as the DB_* variables do at start; see `configure` in index.d.ts. All or
   * nothing.
   */
  configure(changes) {
    applyChanges(this.switches, changes);
  }

  /** Changes all pools, those included that are opened later; see `Pool.configure`. */
  change(changes) {
    const breaker = changedBreaker(this.changes.breaker, changes.breaker);
    Object.assign(this.changes, changes, breaker === undefined ? {} : { breaker });
    for (const pool of this.open.values()) pool.configure(changes);
  }

  /** Switches measuring, as DB_MONITOR does at the start. */
  measure(position) {
    this.measured = position === 'on';
    for (const pool of this.open.values()) pool._measure(this.measured);
  }

  /**
   * Refuses sizes that make no sense.
   * @param sizes `{ max, min }` by tier
   * @throws ConfigurationError naming each of them
   */
  checkSizes(sizes) {
    if (sizes === null || typeof sizes !== 'object') throw new TypeError('sizes must be an object of tiers');
    const { totalMax } = this.readConfiguration();
    const unknown = Object.keys(sizes).filter((tier) => !this.names.includes(tier));
    const problems = unknown.map((tier) => `sizes.${tier} is none of ${this.names.join(', ')}`);
    const all = this.names.map((tier) => ({ tier, ...this.sizesOf(tier), ...givenOf(sizes[tier]) }));
    for (const { tier, max, min } of all) {
      const wrong = sizeProblems({ max, min }, `sizes.${tier}.`);
      if (wrong.length === 0 && min > max)
        wrong.push(`sizes.${tier}.min (${min}) must not exceed max (${max})`);
      problems.push(...wrong);
    }
    if (problems.length === 0) problems.push(...budgetProblems(totalMax, all, this.totalMaxName));
    if (problems.length > 0) throw new ConfigurationError(problems);
  }

  /** Changes the sizes of tiers, those included that are opened later. */
  resize(sizes) {
    for (const [tier, changed] of Object.entries(sizes)) {
      const own = givenOf(changed);
      this.sizes.set(tier, { ...this.sizes.get(tier), ...own });
      const pool = this.open.get(tier);
      if (pool !== undefined && this.poolOf(tier) === tier) pool.configure(own);
    }
  }

  sizesOf(key) {
    const { max, min } = this.optionsOf(key);
    return { max, min, ...this.sizes.get(key) };
  }

  /** Ends the pools that are open, each once, also those of before a switch; see `Pool.end`. */
  async end() {
    const open = [...this.open.values()].filter((pool) => !pool.ending);
    await Promise.all(open.map((pool) => pool.end()));
  }

  make(key) {
    const givesWay = this.givesWay(key);
    const order = this.names.indexOf(key);
    const options = { ...this.optionsOf(key), ...this.sizesOf(key), isTier: true, givesWay, order };
    const pool = new this.PoolClass(withSecrets(options, this.optionsOf(key).password, this.budgetOf(key)));
    pool.configure(this.changes);
    if (this.measured !== undefined) pool._measure(this.measured);
    // A tick later: listeners that are added at once hear of the first connections.
    nextTick(() => prefill(pool));
    if (!this.rests) {
      this.rests = true;
      bridge().onSucceeded.push(() => this.rest());
    }
    return pool;
  }

  /** Closes what is idle, because the test file that used the tiers is over. A pool that is used again fills again. */
  rest() {
    for (const pool of this.open.values()) rest(pool);
  }

  budgetOf(key) {
    const { totalMax } = this.configuration;
    if (totalMax === undefined) return undefined;
    const guarantees = Array(Math.max(...Object.values(this.ranks)) + 1).fill(0);
    for (const tier of this.names) {
      const own = this.poolOf(tier);
      guarantees[this.rankOf(own)] = this.sizesOf(own).min;
    }
    return { name: this.budget, total: totalMax, rank: this.rankOf(key), guarantees };
  }

  // With adaptive limits the tier that is served last gives way to the others.
  givesWay(key) {
    const rank = this.rankOf(key);
    return rank > 0 && rank === Math.max(...Object.values(this.ranks));
  }

  // That of the pool which several names lead to is the lowest of theirs.
  rankOf(key) {
    return Math.min(
      ...this.names.filter((tier) => this.poolOf(tier) === key).map((tier) => this.ranks[tier]),
    );
  }
}

// The sizes that are given: what is undefined stays.
function givenOf(sizes) {
  return Object.fromEntries(Object.entries(sizes ?? {}).filter(([, value]) => value !== undefined));
}

// As DB_RETRY=off: without retries a failed connect fails its caller at once.
function isOff(retry) {
  return retry === false || retry === 'off';
}

// A copy: spreading leaves out a hidden password.
function withSecrets(options, password, budget) {
  return password === undefined ? { ...options, budget } : { ...options, budget, password };
}

module.exports = Tiers;
