'use strict';

// Loss of a client's connection, and its end: which failures are the loss itself, which errors a client tells, and in
// which order. As under pg: first the errors, then the failures of its requests, then the event `end`.

const { runIn } = require('../async/callback-context');
const { callUserCode } = require('../async/uncaught');
const { failureReason, fromNative, withReason } = require('../errors');
const { moveTo } = require('./session-state');
const { nextTick, setImmediate } = require('../async/timers');
const { CLOSE_REASONS, REASONS } = require('../native/layout');

const UNEXPECTED = new Set([CLOSE_REASONS.BROKEN, CLOSE_REASONS.UNRESPONSIVE]);
const LOSSES = new Set([REASONS.LOST, REASONS.ENDED]);

/** Whether a failure is the loss of the connection, and says nothing about the statement. */
function isLoss(failure) {
  return failure.kind === 'system' || LOSSES.has(failure.reason);
}

/** After which the server closes the connection. */
function isFatal(failure) {
  return failure.kind === 'database' && (failure.severity === 'FATAL' || failure.severity === 'PANIC');
}

/** Whether a CLOSED record tells of an end that nobody on this side wanted. */
function isUnexpected(info) {
  return UNEXPECTED.has(info.reason);
}

/** The error of a connection that is lost. */
function unexpected() {
  return withReason(new Error('Connection terminated unexpectedly'), REASONS.LOST);
}

/** The error of a connection that this side has ended. */
function terminated() {
  return withReason(new Error('Connection terminated'), REASONS.ENDED);
}

/**
 * The errors that a client tells, in order. The server's last words come first, unless a query has
 * failed with them already (`told`: their code).
 */
function lossErrors(info, told) {
  const last = info.error;
  if (last && last.kind === 'database' && last.code !== told) return [fromNative(last), unexpected()];
  // What broke the protocol is the whole story.
  if (last && last.kind === 'plain' && !LOSSES.has(last.reason)) return [fromNative(last)];
  // With the code of the system call that failed, if it was one.
  return [last && last.kind === 'plain' && last.code ? fromNative(last) : unexpected()];
}

/** Whether the connection ended without an error that came over it. */
function isSilent(errors) {
  const [error] = errors;
  return errors.length === 1 && error.code === undefined && LOSSES.has(failureReason(error));
}

/**
 * From the owner of the connection: it is closed. The `errors` of the loss come one by one, the server's last words
 * first. Whoever awaits a query that failed with those words, or this very client, goes on before the loss is told: the
 * core brings in one batch what the server sent one after the other.
 */
function connectionClosed(client, errors) {
  runIn(client._context, tellClosed, client, errors);
}

function tellClosed(client, errors) {
  if (errors.length === 0 && client._sessionState.code === undefined) finish(client, errors);
  else setImmediate(() => tellLoss(client, errors));
}

function tellLoss(client, errors) {
  const untold = untoldOf(client, errors);
  if (untold.length < 2) {
    finish(client, errors);
    return;
  }
  moveTo(client, 'lost');
  const [lastWords] = untold;
  client.connection.tell('message', lastWords);
  emitError(client, lastWords);
  client.connection.tell('errorMessage', lastWords);
  setImmediate(() => tellLoss(client, untold.slice(1)));
}

/** The end of the client: its requests fail, and it emits what is untold of the loss, then `end`. */
function finish(client, errors) {
  if (client._ended) return;
  const [untold] = untoldOf(client, errors);
  const { error } = client._sessionState;
  if (untold !== undefined) moveTo(client, 'lost');
  moveTo(client, 'ended');
  client._rawSession = null;
  client.connection._gone();
  client._requests.failAll(error ?? untold ?? (client._ending ? terminated() : unexpected()));
  nextTick(() => client.emit('end'));
  if (untold !== undefined) emitError(client, untold);
  client.connection.emit('end');
  for (const done of client._onEnd.splice(0)) done();
}

// Errors of the loss that the client has yet to tell: none of an end that was wanted, none where an error that was
// emitted on the connection has been told in their place.
function untoldOf(client, errors) {
  const { name, error } = client._sessionState;
  return client._ending || error !== undefined || name === 'failed' ? [] : errors;
}

function emitError(client, error) {
  // A client that was released in the meantime is an idle client of its pool.
  if (client._pool !== null && !client._handle.leased) client._pool._delegate.lostIdle(client, error);
  else callUserCode(() => client.emit('error', error));
}

/** Somebody has emitted `error` on the connection or its stream: the connection is lost, with this error. */
function failWith(client, error) {
  const { name } = client._sessionState;
  if (name === 'new' || client._isIdleInPool()) {
    client.emit('error', error);
  } else if (client._connectRequest !== null) {
    client._connectRequest.abandon(error);
  } else if (name !== 'ended' && name !== 'failed') {
    moveTo(client, 'lost', { error });
    close(client);
    if (name !== 'connecting') client.emit('error', error);
  }
}

/** Closes the connection from this side without a farewell; it is told as lost. */
function sever(client) {
  moveTo(client, 'severed');
  close(client);
}

function close(client) {
  if (client._handle !== null) client._native.closeConnection(client._handle.id);
  else if (client._connectRequest !== null) client._connectRequest.abandon();
}

/** Gives the connection back to its native pool, once; that of a pool is given back by the client's release. */
function giveBack(client, destroy) {
  const { _handle: handle, _native: native } = client;
  if (handle === null || !handle.open) return;
  if (!handle.leased || client._pool !== null) {
    if (destroy) native.closeConnection(handle.id);
    return;
  }
  handle.leased = false;
  native.release(handle.id, destroy);
}

module.exports = {
  connectionClosed,
  failWith,
  finish,
  giveBack,
  isFatal,
  isLoss,
  isSilent,
  isUnexpected,
  lossErrors,
  sever,
  terminated,
  unexpected,
};
