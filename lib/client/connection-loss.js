'use strict';

// What the end of a connection means to those who used it: which failures are the loss itself, and which
// errors a client tells when its connection is gone.

const { fromNative } = require('../errors');

const TERMINATED = 'Connection terminated';
const UNEXPECTED = new Set(['broken', 'unresponsive']);

/** A failure that is the loss of the connection and says nothing about the statement. */
function isLoss(failure) {
  return failure.kind === 'system' || (failure.kind === 'plain' && failure.message.startsWith(TERMINATED));
}

/** After which the server closes the connection. */
function isFatal(failure) {
  return failure.kind === 'database' && (failure.severity === 'FATAL' || failure.severity === 'PANIC');
}

/** Whether a CLOSED record tells of an end that nobody on this side wanted. */
function isUnexpected(info) {
  return UNEXPECTED.has(info.reason);
}

function unexpected() {
  return new Error(TERMINATED + ' unexpectedly');
}

/**
 * The errors that a client tells, in order. The server's last words come first, unless a query has
 * failed with them already (`told`: their code).
 */
function lossErrors(info, told) {
  const last = info.error;
  if (last && last.kind === 'database' && last.code !== told) return [fromNative(last), unexpected()];
  // What broke the protocol is the whole story.
  if (last && last.kind === 'plain' && !last.message.startsWith(TERMINATED)) return [fromNative(last)];
  // With the code of the system call that failed, if it was one.
  return [last && last.kind === 'plain' && last.code ? fromNative(last) : unexpected()];
}

/** Whether the connection ended without an error that came over it. */
function isSilent(errors) {
  const [error] = errors;
  return errors.length === 1 && error.code === undefined && error.message.startsWith(TERMINATED);
}

module.exports = { isLoss, isFatal, isSilent, isUnexpected, lossErrors, unexpected };
