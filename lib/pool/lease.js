'use strict';

// The lease of a pool's connection: the right to use its client, from the event `acquire` to the event `release`.
// A checkout (checkout.js) is the request for a lease; a connection under a lease is leased, and its client's
// `release` ends the lease, once. Decided here: what is checked before and after, and whether the connection stays.

const { bridge } = require('../native/bridge');
const { moveTo, refusalOf } = require('../client/session-state');
const leakDetection = require('../monitor/leak-detection');
const { emitRemove } = require('./removal');
const { callUserCode } = require('../async/uncaught');
const { clientOf, noteCustomQuery } = require('./clients');
const { logPulse } = require('./pg-pool-log');
const { EarlyRelease } = require('./early-release');
const { returnToCore } = require('./return-to-core');
const { noteOpenTransaction } = require('./open-transaction');
const { transactionStatus } = require('../native/transaction-status');

// Second argument of `client.release(error, KEEP)` by the pool itself: `release` events get the error, the
// connection stays.
const KEEP = Symbol('keep');

/** Gives the connection to the checkout that waits for it. */
function acquire(pool, checkout, connection, status) {
  let client;
  try {
    client = clientOf(pool, connection);
  } catch (error) {
    // The constructor of an application's own client class may throw.
    pool._native.release(connection.id, true);
    checkout.fail(error);
    return;
  }
  const { isNew } = connection;
  connection.isNew = false;
  connection.leased = true;
  client._txStatus = transactionStatus(status) ?? client._txStatus;
  leakDetection.checkedOut(pool, connection, checkout.lease);
  if (pool.options.allowExitOnIdle) bridge().setKeepsAlive(connection, true);
  callUserCode(() => pool.emit('acquire', client));
  const release = releaseOnce(pool, client, connection);
  client.release = release;
  client._isLeased = true;
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

function releaseOnce(pool, client, connection) {
  let released = false;
  return (error, mark) => {
    if (released) throw new Error('Release called on client which has already been released to the pool.');
    released = true;
    client._isLeased = false;
    release(pool, client, connection, error, Boolean(error) && mark !== KEEP);
  };
}

function release(pool, client, connection, error, destroy) {
  client._poolUseCount = (client._poolUseCount || 0) + 1;
  noteCustomQuery(pool, client);
  try {
    pool.emit('release', error, client);
  } finally {
    // An exception of a listener reaches the caller of `release`.
    endLease(pool, client, connection, destroy);
  }
}

function endLease(pool, client, connection, destroy) {
  const spent = client._poolUseCount >= pool.options.maxUses;
  if (spent) callUserCode(() => pool.log('remove expended client'));
  const closing = destroy || refusalOf(client) !== undefined;
  const serves = pool._isLogged && pool.waitingCount > 0;
  if (closing || spent) moveTo(client, 'ending');
  else noteOpenTransaction(pool, client._txStatus);
  if (pool.options.allowExitOnIdle) bridge().setKeepsAlive(connection, false);
  if (!closing && client._requests.submittables.length > 0) new EarlyRelease(pool, connection).begin();
  else returnToCore(pool, connection, Boolean(closing));
  if (!closing && !spent) logPulse(pool, serves);
  // The loss of a leased connection was its holder's; the event `remove` comes with the release. A loss that nobody
  // has been told of yet is that of an idle client.
  if (!connection.open && closing) emitRemove(pool, client);
}

/** A lease for the time of a row stream, which hears of the connection's loss by itself. */
async function leaseForStream(pool, signal) {
  const client = await (signal ? pool.connect({ signal }) : pool.connect());
  const ignore = () => {};
  client.on('error', ignore);
  return {
    client,
    release: () => {
      client.removeListener('error', ignore);
      client.release();
    },
  };
}

module.exports = { KEEP, acquire, leaseForStream };
