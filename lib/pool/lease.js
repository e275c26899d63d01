'use strict';

// A connection becomes somebody's client and comes back: the events `acquire` and `release`, what is
// checked before and after, and whether the core may lend it again.

const { bridge } = require('../native/bridge');
const leakDetection = require('../monitor/leak-detection');
const { callUserCode } = require('../async/uncaught');

// The second argument of a release by the pool itself, where users give one: the error is told, the connection stays.
const KEEP = Symbol('keep');
// No turn of the event loop is expected to last longer.
const LONG_TURN_MILLIS = 1000;

/** The connection that a checkout waits for is there. */
function lend(pool, checkout, link) {
  let client;
  try {
    client = pool._clientOf(link);
  } catch (error) {
    // An application's own class of clients may refuse to be made.
    pool._native.release(link.id, true);
    checkout.fail(error);
    return;
  }
  const isNew = link.fresh;
  link.fresh = false;
  link.lent = true;
  // The core has ended what its last borrower left open.
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
    // Whatever a listener throws at the caller.
    takeBack(pool, client, link, destroy);
  }
}

function takeBack(pool, client, link, destroy) {
  const spent = client._poolUseCount >= pool.options.maxUses;
  if (spent) callUserCode(() => pool.log('remove expended client'));
  const closing = destroy || !client._queryable || client._ending || client._ended;
  const serves = pool._isLogged && pool.waitingCount > 0;
  if (closing || spent) client._ending = true;
  if (pool.options.allowExitOnIdle) bridge().setKeepsAlive(link, false);
  if (!closing && client._session !== null) releaseLater(pool, client, link);
  else giveBack(pool, link, Boolean(closing));
  if (!closing && !spent) pool._pulse(serves);
  // The loss of a lent connection has been told already; its removal comes with the release.
  if (!link.open) pool.emit('remove', client);
}

/** The core gets the connection back. */
function giveBack(pool, link, destroy) {
  if (!link.lent) return;
  link.lent = false;
  leakDetection.checkedIn(pool, link);
  const { idleTimeoutMillis } = pool.options;
  // 0 is never.
  if (idleTimeoutMillis > 0 && idleTimeoutMillis < LONG_TURN_MILLIS) holdIdleTimeout(pool);
  pool._native.release(link.id, destroy);
}

// Under pg the idle timeout is a timer, so what is given back is there until the turn is over.
function holdIdleTimeout(pool) {
  if (pool._inTurn) return;
  pool._inTurn = true;
  pool._native.holdIdleTimeout(true);
  setImmediate(() => {
    pool._inTurn = false;
    pool._native.holdIdleTimeout(false);
  });
}

// A submittable still has the connection: nobody else gets it before that is over.
function releaseLater(pool, client, link) {
  if (!client._session.leave()) {
    client._ending = true;
    giveBack(pool, link, true);
    return;
  }
  leakDetection.checkedIn(pool, link);
  pool._late.add(client);
  client._afterSession = () => {
    pool._late.delete(client);
    giveBack(pool, link, false);
  };
}

module.exports = { KEEP, giveBack, lend };
