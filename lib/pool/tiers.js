'use strict';

// The tiers of a process, one pool per priority: configured by the environment when one is first asked for, then
// filled to their minimum. With tiers off all names lead to one pool.

const { readEnvironment, TIERS } = require('../config/environment');
const { prefill } = require('./open');
const { nextTick } = require('../async/timers');

const DEFAULT_TIER = 'highPriority';
// The order in which tiers are served from a shared budget; operators come rarely, and first.
const BY_PRIORITY = ['admin', 'highPriority', 'lowPriority'];

class Tiers {
  /**
   * @param PoolClass what the tiers are made of
   * @param env where they are configured
   * @param budget the name under which DB_TOTAL_MAX is shared; all tiers of that name share it
   */
  constructor(PoolClass, env = process.env, budget = 'process') {
    this.PoolClass = PoolClass;
    this.env = env;
    this.budget = budget;
    this.configuration = undefined;
    // Whether tiers are on, if `configure` has said so; undefined: as the environment says.
    this.tiered = undefined;
    this.open = new Map();
    // Changes by `configure`, for tiers that are opened later.
    this.changes = {};
  }

  /**
   * @param name 'highPriority', 'lowPriority' or 'admin'; any other name means 'highPriority'
   * @throws ConfigurationError naming every bad DB_* variable
   */
  getPool(name) {
    if (this.configuration === undefined) this.configuration = readEnvironment(this.env);
    const { shared, tiers } = this.configuration;
    const tier = TIERS.includes(name) ? name : DEFAULT_TIER;
    const options = this.isTiered() ? tiers[tier] : shared;
    let pool = this.open.get(options.tier);
    if (pool === undefined || pool.ending) {
      pool = this.make(options);
      this.open.set(options.tier, pool);
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

  isTiered() {
    return this.tiered ?? this.configuration.tiered;
  }

  /**
   * At run time: 'off' leads all names to one pool, 'on' to their own again. A pool that somebody holds
   * goes on as it is.
   */
  switch(position) {
    this.tiered = position === 'on';
  }

  /** Switches retry and breaker of all tiers, those included that are opened later; see `Pool.configure`. */
  configure(changes) {
    Object.assign(this.changes, changes);
    for (const pool of this.open.values()) pool.configure(changes);
  }

  /** Ends the pools that are open, each once, also those of before a switch; see `Pool.end`. */
  async end() {
    const open = [...this.open.values()].filter((pool) => !pool.ending);
    await Promise.all(open.map((pool) => pool.end()));
  }

  make(options) {
    const pool = new this.PoolClass(withSecrets(options, this.budgetOf(options.tier)));
    pool.configure(this.changes);
    // A tick later: listeners that are added at once hear of the first connections.
    nextTick(() => prefill(pool));
    return pool;
  }

  // The one pool of DB_TIERS=off has its own limit and shares with nobody.
  budgetOf(tier) {
    const { totalMax, tiers } = this.configuration;
    const rank = BY_PRIORITY.indexOf(tier);
    if (totalMax === undefined || rank < 0) return undefined;
    const guarantees = BY_PRIORITY.map((name) => tiers[name].min);
    return { name: this.budget, total: totalMax, rank, guarantees };
  }
}

// A copy: spreading leaves out a hidden password.
function withSecrets(options, budget) {
  const own = { ...options, budget };
  if (options.password !== undefined) own.password = options.password;
  return own;
}

module.exports = Tiers;
