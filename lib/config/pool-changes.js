'use strict';

// What `configure` may change on a pool that runs: checked as a whole, then applied to its options and to the core.

const { breakerSettings, changedBreaker, checkBreaker, switchedOn } = require('./core-settings');
const { ConfigurationError } = require('../errors');
const { optionNamed } = require('./options');

/** @typedef {{ retry?: any, breaker?: any, adaptive?: any, failFast?: boolean, max?: number, min?: number }} PoolChanges */

/**
 * @param options of the pool, as they are
 * @param {PoolChanges} changes see PoolChanges in index.d.ts; what is undefined stays
 * @returns `options` and `core`: what becomes of the options, and the core's part of it
 * @throws TypeError or ConfigurationError naming what makes no sense; then nothing is changed
 */
function poolChanges(options, { retry, breaker, adaptive, failFast, max, min }) {
  const changed = { options: {}, core: {} };
  const set = (name, option, core = option) => {
    changed.options[name] = option;
    changed.core[name] = core;
  };
  const problems = sizeProblems({ max, min });
  if (problems.length > 0) throw new ConfigurationError(problems);
  if (retry !== undefined) set('retry', switchedOn('retry', retry));
  if (breaker !== undefined) {
    checkBreaker(breaker);
    const whole = changedBreaker(options.breaker ?? 'off', breaker);
    const { mode, ...limits } = breakerSettings(whole);
    set('breaker', whole, mode);
    changed.core.breakerLimits = limits;
  }
  if (adaptive !== undefined) set('adaptive', switchedOn('adaptive', adaptive));
  if (failFast !== undefined) set('failFast', Boolean(failFast));
  if (max !== undefined) set('max', max);
  if (min !== undefined) set('min', min);
  return changed;
}

/** What is wrong with sizes: one line each. */
function sizeProblems(sizes, prefix = '') {
  return ['max', 'min'].flatMap((name) => {
    const { from } = optionNamed(name, 'pool');
    const value = sizes[name];
    const isFine = value === undefined || (Number.isInteger(value) && value >= from);
    return isFine ? [] : [`${prefix}${name} must be a whole number of at least ${from}`];
  });
}

module.exports = { poolChanges, sizeProblems };
