'use strict';

// The opening of a native pool, at the first request: pg reads defaults and environment no earlier. A tier is opened
// ahead of it to connect its minimum.

const { interceptConnectsIfCustom } = require('./clients');
const { bridge } = require('../native/bridge');
const { poolSettings } = require('../config/core-settings');

/**
 * The native pool, opened if it is not.
 * @throws what is wrong with the options
 */
function openedNative(pool) {
  if (pool._native === null) open(pool);
  else if (pool._isPrefilledOnly) startKeepingAlive(pool);
  interceptConnectsIfCustom(pool);
  return pool._native;
}

function open(pool) {
  const template = new pool.Client(pool.options);
  pool._template = template;
  pool._queryTimeout = template.connectionParameters.query_timeout;
  pool._binary = template.binary;
  const settings = poolSettings(template, pool.options);
  const native = bridge().openPool(pool._delegate, settings);
  pool._native = native;
  pool._looksUpHosts = settings.lookup;
  pool._isMeasured = native.metricsId !== 0;
  if (hasOnConnect(pool)) native.awaitOnConnect(true);
}

/** Opens the pool and connects its minimum. What is wrong with the options fails the first request. */
function prefill(pool) {
  if (pool._native !== null || pool.ending) return;
  pool._isPrefilledOnly = true;
  try {
    openedNative(pool);
  } catch {
    pool._isPrefilledOnly = false;
  }
}

/** Closes what is idle, and keeps no minimum until the pool is used again. */
function rest(pool) {
  if (pool._native === null || pool.ending) return;
  pool._isPrefilledOnly = true;
  pool._isResting = true;
  pool._native.configure(JSON.stringify({ min: 0, retire: true }));
}

function startKeepingAlive(pool) {
  pool._isPrefilledOnly = false;
  if (pool._isResting) {
    pool._isResting = false;
    pool._native.configure(JSON.stringify({ min: pool.options.min }));
  }
  if (pool.options.allowExitOnIdle) return;
  for (const connection of bridge().connectionsOf(pool._delegate)) bridge().setKeepsAlive(connection, true);
}

/** Whether the application sees new clients before anybody gets them. */
function hasOnConnect(pool) {
  return Boolean(pool.options.onConnect) || pool.listenerCount('connect') > 0;
}

/** From a new listener of `connect`: the core waits for it from now on. */
function awaitOnConnect(pool) {
  pool._sawFirstClient = false;
  if (pool._native) pool._native.awaitOnConnect(true);
}

module.exports = { awaitOnConnect, hasOnConnect, openedNative, prefill, rest };
