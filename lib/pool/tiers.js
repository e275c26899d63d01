'use strict';

// The pools of the process, one per priority: configured by the environment when one is first asked for, then filled
// to their minimum. With the tiers off all names lead to one pool; only admin keeps a pool of its own where it has
// a user of its own. DB_TOTAL_MAX bounds them together in either position.

const { nextTick } = require('../async/timers');
const { changedBreaker } = require('../config/core-settings');
const { ConfigurationError } = require('../errors');
const { TIERS, budgetProblems, readEnvironment } = require('../config/environment');
const { sizeProblems } = require('../config/pool-changes');
const { prefill } = require('./open');

const DEFAULT_TIER = 'highPriority';
const SHARED = 'shared';
// Ranks in a shared budget. Operators come rarely and mean it.
const RANKS = { admin: 0, highPriority: 1, shared: 1, lowPriority: 2 };

class Tiers {
  /**
   * @param PoolClass the class of the pools
   * @param env where they are configured
   * @param budget the name under which DB_TOTAL_MAX is shared; all tiers of that name share it
   */
  constructor(PoolClass, env = process.env, budget = 'process') {
    this.PoolClass = PoolClass;
    this.env = env;
    this.budget = budget;
    this.configuration = undefined;
    // What `configure` has set; undefined: as the environment says.
    this.tiered = undefined;
    this.open = new Map();
    // What `configure` has changed, for all pools and by tier.
    this.changes = {};
    this.measured = undefined;
    this.sizes = {};
  }

  /**
   * @param name 'highPriority', 'lowPriority' or 'admin'; any other name means 'highPriority'
   * @throws ConfigurationError naming every bad DB_* variable
   */
  getPool(name) {
    this.readConfiguration();
    const key = this.poolOf(TIERS.includes(name) ? name : DEFAULT_TIER);
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
    for (const tier of TIERS) {
      Object.defineProperty(pools, tier, { enumerable: true, get: () => this.getPool(tier) });
    }
    return Object.freeze(pools);
  }

  readConfiguration() {
    if (this.configuration === undefined) this.configuration = readEnvironment(this.env);
    return this.configuration;
  }

  /** The name of the pool that a tier leads to. */
  poolOf(tier) {
    const isTiered = this.tiered ?? this.configuration.tiered;
    if (isTiered || (tier === 'admin' && this.configuration.adminIsOther)) return tier;
    return SHARED;
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
    const wanted = TIERS.map((tier) => this.poolOf(tier));
    for (const [key, pool] of this.open) {
      if (!wanted.includes(key)) pool._abandon();
      else if (!pool.ending) pool.configure({ min: this.sizesOf(key).min });
    }
  }

  /** Changes all pools, those included that are opened later; see `Pool.configure`. */
  configure(changes) {
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
    const unknown = Object.keys(sizes).filter((tier) => !TIERS.includes(tier));
    const problems = unknown.map((tier) => `sizes.${tier} is none of ${TIERS.join(', ')}`);
    const all = TIERS.map((tier) => ({ tier, ...this.sizesOf(tier), ...sizes[tier] }));
    for (const { tier, max, min } of all) {
      const wrong = sizeProblems({ max, min }, `sizes.${tier}.`);
      if (wrong.length === 0 && min > max)
        wrong.push(`sizes.${tier}.min (${min}) must not exceed max (${max})`);
      problems.push(...wrong);
    }
    if (problems.length === 0) problems.push(...budgetProblems(totalMax, all));
    if (problems.length > 0) throw new ConfigurationError(problems);
  }

  /** Changes the sizes of tiers, those included that are opened later. */
  resize(sizes) {
    for (const [tier, own] of Object.entries(sizes)) {
      this.sizes[tier] = { ...this.sizes[tier], ...own };
      const pool = this.open.get(tier);
      if (pool !== undefined && this.poolOf(tier) === tier) pool.configure(own);
    }
  }

  sizesOf(key) {
    const { max, min } = this.optionsOf(key);
    return { max, min, ...this.sizes[key] };
  }

  /** Ends the pools that are open, each once, also those of before a switch; see `Pool.end`. */
  async end() {
    const open = [...this.open.values()].filter((pool) => !pool.ending);
    await Promise.all(open.map((pool) => pool.end()));
  }

  make(key) {
    const options = { ...this.optionsOf(key), ...this.sizesOf(key), isTier: true };
    const pool = new this.PoolClass(withSecrets(options, this.optionsOf(key).password, this.budgetOf(key)));
    pool.configure(this.changes);
    if (this.measured !== undefined) pool._measure(this.measured);
    // A tick later: listeners that are added at once hear of the first connections.
    nextTick(() => prefill(pool));
    return pool;
  }

  budgetOf(key) {
    const { totalMax } = this.configuration;
    if (totalMax === undefined) return undefined;
    const guarantees = [0, 0, 0];
    for (const tier of TIERS) {
      const own = this.poolOf(tier);
      guarantees[RANKS[own]] = this.sizesOf(own).min;
    }
    return { name: this.budget, total: totalMax, rank: RANKS[key], guarantees };
  }
}

// A copy: spreading leaves out a hidden password.
function withSecrets(options, password, budget) {
  return password === undefined ? { ...options, budget } : { ...options, budget, password };
}

module.exports = Tiers;
