'use strict';

// The limits of the alerts: defaults of the core, then the DB_ALERT_* variables, then options.
//
//   DB_ALERT_WAITING=10          fires above        DB_ALERT_WAITING_FOR=300        held for so many seconds
//   DB_ALERT_WAITING_CLEAR=5     clears below       DB_ALERT_WAITING_CLEAR_FOR=120  held for so many seconds
//
// likewise ACQUIRE (milliseconds), ERROR_RATE and UTILISATION (shares from 0 to 1), and
// DB_ALERT_LEAST_OPERATIONS, DB_ALERT_REMINDER (seconds, 0: never).

const { ConfigurationError } = require('../errors');

const RULES = { WAITING: 'waiting', ACQUIRE: 'acquire', ERROR_RATE: 'errorRate', UTILISATION: 'utilisation' };

/** What the environment says, and what is wrong with it. */
function readThresholds(env = process.env) {
  const problems = [];
  const number = (name, scale = 1) => {
    const text = env[name];
    if (text === undefined || text.trim() === '') return undefined;
    const value = Number(text);
    if (Number.isFinite(value) && value >= 0) return value * scale;
    problems.push(`${name} must be a number of at least 0, not ${JSON.stringify(text)}`);
    return undefined;
  };
  const thresholds = {};
  for (const [variable, rule] of Object.entries(RULES)) {
    thresholds[rule] = {
      above: number(`DB_ALERT_${variable}`),
      forMillis: number(`DB_ALERT_${variable}_FOR`, 1000),
      below: number(`DB_ALERT_${variable}_CLEAR`),
      clearMillis: number(`DB_ALERT_${variable}_CLEAR_FOR`, 1000),
    };
  }
  thresholds.leastOperations = number('DB_ALERT_LEAST_OPERATIONS');
  thresholds.reminderMillis = number('DB_ALERT_REMINDER', 1000);
  return { thresholds, problems };
}

/**
 * The limits as JSON for the core. What `options` leave open is as in `common`, then as the environment says; both as
 * `AlertThresholds` in index.d.ts.
 */
function thresholdsFor(options = {}, common = {}, env = process.env) {
  const { thresholds, problems } = readThresholds(env);
  if (problems.length > 0) throw new ConfigurationError(problems);
  for (const given of [common, options]) {
    const { waiting, acquire, errorRate, utilisation, ...others } = given;
    Object.assign(thresholds, withoutUndefined(others));
    for (const [rule, limits] of Object.entries({ waiting, acquire, errorRate, utilisation }))
      Object.assign(thresholds[rule], withoutUndefined(limits));
  }
  return JSON.stringify(thresholds);
}

function withoutUndefined(object) {
  return Object.fromEntries(Object.entries(object ?? {}).filter(([, value]) => value !== undefined));
}

module.exports = { RULES, readThresholds, thresholdsFor };
