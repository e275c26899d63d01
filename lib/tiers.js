'use strict';

// The pools of the process, one per priority: configured by the environment when one is first asked
// for, and opened by their first query. With DB_TIERS=off all names lead to one pool.

const { readEnvironment, TIERS } = require('./environment');

const DEFAULT_TIER = 'highPriority';

class Tiers {
  constructor(PoolClass, env = process.env) {
    this.PoolClass = PoolClass;
    this.env = env;
    this.configuration = undefined;
    this.open = new Map();
  }

  /**
   * @param name 'highPriority', 'lowPriority' or 'admin'; any other name means 'highPriority'
   * @throws ConfigurationError naming every bad DB_* variable
   */
  getPool(name) {
    if (this.configuration === undefined) this._configure();
    const { tiered, shared, tiers } = this.configuration;
    const tier = TIERS.includes(name) ? name : DEFAULT_TIER;
    const options = tiered ? tiers[tier] : shared;
    let pool = this.open.get(options.tier);
    if (pool === undefined) {
      pool = new this.PoolClass(withPassword(options));
      this.open.set(options.tier, pool);
    }
    return pool;
  }

  _configure() {
    this.configuration = readEnvironment(this.env);
    if (this.configuration.totalMax !== undefined) {
      process.emitWarning('DB_TOTAL_MAX is checked, but not enforced yet: each tier keeps to its own maximum');
    }
  }

  /** An object with one lazy property per tier. */
  get pools() {
    const pools = {};
    for (const tier of TIERS) {
      Object.defineProperty(pools, tier, { enumerable: true, get: () => this.getPool(tier) });
    }
    return Object.freeze(pools);
  }
}

// Spreading leaves a hidden password behind.
function withPassword(options) {
  const own = { ...options };
  if (options.password !== undefined) own.password = options.password;
  return own;
}

module.exports = Tiers;
