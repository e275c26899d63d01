'use strict';

// The lease of a pool's connection: the right to use its client, from the event `acquire` to the event `release`.
// A checkout (checkout.js) is the request for a lease; a connection under a lease is leased, and its client's
// `release` ends the lease, once. Decided here: what is checked before and after, and whether the connection stays.

const { bridge } = require('../native/bridge');
const { moveTo, refusalOf } = require('../client/session-state');
const leakDetection = require('../monitor/leak-detection');
const { emitRemove } = require('./removal');
const { callUserCode } = require('../async/uncaught');

// Second argument of `client.release(error, KEEP)` by the pool itself: `release` events get the error, the
// connection stays.
const KEEP = Symbol('keep');
// No turn of the event loop is expected to last longer.
const LONG_TURN_MILLIS = 1000;

/** Gives the connection to the checkout that waits for it. */
function acquire(pool, checkout, link) {
  let client;
  try {
    client = pool._clientOf(link);
  } catch (error) {
    // The constructor of an application's own client class may throw.
    pool._native.release(link.id, true);
    checkout.fail(error);
    return;
  }
  const isNew = link.fresh;
  link.fresh = false;
  link.lent = true;
  // The core has ended a transaction that the last lease left open.
  client._txStatus = 'I';
  leakDetection.checkedOut(pool, link, checkout.lease);
  if (pool.options.allowExitOnIdle) bridge().setKeepsAlive(link, true);
  callUserCode(() => pool.emit('acquire', client));
  const release = releaseOnce(pool, client, link);
  client.release = release;
  client._borrowed = true;
  const { verify } = pool.options;
  if (!isNew || !verify) {
    checkout.succeed(client, release);
    return;
  }
  let told = false;
  const tell = (error) => {
    if (told) return;
    told = true;
    if (error) {
      callUserCode(() => client.release(error));
      checkout.fail(error);
    } else {
      checkout.succeed(client, client.release);
    }
  };
  try {
    verify(client, tell);
  } catch (error) {
    tell(error || new Error('the connection was refused by `verify`'));
  }
}

function releaseOnce(pool, client, link) {
  let released = false;
  return (error, mark) => {
    if (released) throw new Error('Release called on client which has already been released to the pool.');
    released = true;
    client._borrowed = false;
    release(pool, client, link, error, Boolean(error) && mark !== KEEP);
  };
}

function release(pool, client, link, error, destroy) {
  client._poolUseCount = (client._poolUseCount || 0) + 1;
  pool._noteCustomQuery(client);
  try {
    pool.emit('release', error, client);
  } finally {
    // An exception of a listener reaches the caller of `release`.
    endLease(pool, client, link, destroy);
  }
}

function endLease(pool, client, link, destroy) {
  const spent = client._poolUseCount >= pool.options.maxUses;
  if (spent) callUserCode(() => pool.log('remove expended client'));
  const closing = destroy || refusalOf(client) !== undefined;
  const serves = pool._isLogged && pool.waitingCount > 0;
  if (closing || spent) moveTo(client, 'ending');
  if (pool.options.allowExitOnIdle) bridge().setKeepsAlive(link, false);
  if (!closing && client._rawSession !== null) releaseAfterSubmittable(pool, client, link);
  else returnToCore(pool, link, Boolean(closing));
  if (!closing && !spent) pool._pulse(serves);
  // The loss of a leased connection was its borrower's; the event `remove` comes with the release. A loss that nobody
  // has been told of yet is that of an idle client.
  if (!link.open && closing) emitRemove(pool, client);
}

/** Returns the connection to the core. */
function returnToCore(pool, link, destroy) {
  if (!link.lent) return;
  link.lent = false;
  leakDetection.checkedIn(pool, link);
  const { idleTimeoutMillis } = pool.options;
  // 0: idle connections are never closed.
  if (idleTimeoutMillis > 0 && idleTimeoutMillis < LONG_TURN_MILLIS) holdIdleTimeout(pool);
  pool._native.release(link.id, destroy);
}

// Idle timeouts are timers under pg: a released connection lives at least until the next turn of the event loop.
function holdIdleTimeout(pool) {
  if (pool._holdsIdleTimeout) return;
  pool._holdsIdleTimeout = true;
  pool._native.holdIdleTimeout(true);
  setImmediate(() => {
    pool._holdsIdleTimeout = false;
    pool._native.holdIdleTimeout(false);
  });
}

// The lease lasts until the submittable (cursor, COPY) that still has the connection is over.
function releaseAfterSubmittable(pool, client, link) {
  if (!client._rawSession.abandon()) {
    moveTo(client, 'ending');
    returnToCore(pool, link, true);
    return;
  }
  leakDetection.checkedIn(pool, link);
  pool._releasedEarly.add(client);
  client._afterRawSession = () => {
    pool._releasedEarly.delete(client);
    returnToCore(pool, link, false);
  };
}

module.exports = { KEEP, acquire, returnToCore };
