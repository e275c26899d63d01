'use strict';

// What an error tells an application about its statement, read as an application can: by code and message.
//
//   unsent     the statement never left: it may be sent again
//   rejected   the server looked at it and said no
//   ambiguous  the connection was lost after it was sent: it ran or it did not

const UNSENT_CODES = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'EMFILE',
  '53300',
  '57P03',
  '28P01',
  '28000',
  'CIRCUIT_OPEN',
  'ACQUIRE_TIMEOUT',
  'POOL_FULL',
  'NO_SUITABLE_HOST',
]);
const UNSENT_MESSAGES = /when trying to connect|due to connection timeout|not queryable|attempt to connect/;
const AMBIGUOUS_CODES = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  '57P01',
  '57P02',
  '57P05',
  '08006',
  '08007',
  '08P01',
  '40003',
  'COMMIT_OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
]);
const AMBIGUOUS_MESSAGES = /^Connection terminated|Query read timeout|connection (was )?(lost|closed)/i;

/** @returns {'unsent'|'rejected'|'ambiguous'} */
function toldBy(error) {
  const { code, message = '', syscall } = error;
  if (UNSENT_CODES.has(code) || syscall === 'connect' || UNSENT_MESSAGES.test(message)) return 'unsent';
  if (AMBIGUOUS_CODES.has(code) || AMBIGUOUS_MESSAGES.test(message)) return 'ambiguous';
  return 'rejected';
}

/** A short name of an error, to count by. */
function nameOf(error) {
  const name = error.code ?? error.errors?.[0]?.code ?? error.message;
  const cause = error.cause?.code ?? error.cause?.message;
  return cause === undefined || cause === name ? String(name) : `${name} (${cause})`;
}

module.exports = { toldBy, nameOf };
