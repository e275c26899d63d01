'use strict';

// A set of tiers as the application holds it: its pools, their monitors, the switches, and the functions that retry.

const { Monitors } = require('../monitor/monitors');
const { dbUtils } = require('../retry/with-retry');
const Tiers = require('./tiers');

let sets = 0;

/** @param set the tiers, see Tiers */
function openTierSet(PoolClass, set) {
  const tiers = new Tiers(PoolClass, set, `set ${++sets}`);
  const getPool = (name) => tiers.getPool(name);
  return {
    getPool,
    pools: tiers.pools,
    monitors: new Monitors(set.names, getPool),
    configure: (changes) => tiers.configure(changes),
    ...dbUtils(getPool),
    end: () => tiers.end(),
  };
}

module.exports = { openTierSet };
