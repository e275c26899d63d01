'use strict';

// Error classes, and what the core's description of a failure (docs/design/boundary.md, "Errors as
// JSON") becomes.
//
// DatabaseError and system errors look as under node-postgres and Node, own properties and their
// order included. The classes of our own carry a stable `code`.

const os = require('node:os');
const { getSystemErrorMap } = require('node:util');

const SERVER_FIELDS = [
  'severity',
  'code',
  'detail',
  'hint',
  'position',
  'internalPosition',
  'internalQuery',
  'where',
  'schema',
  'table',
  'column',
  'dataType',
  'constraint',
  'file',
  'line',
  'routine',
];

// What the server said. Fields it did not send are there, undefined.
class DatabaseError extends Error {
  constructor(message, length, name) {
    super(message);
    this.length = length;
    this.name = name;
  }
}

// What the server remarked; no error, so it has no stack.
class NoticeMessage {
  constructor(length, message) {
    this.length = length;
    this.message = message;
    this.name = 'notice';
  }
}

/**
 * The properties of the classes of our own; each takes those that it has.
 * @typedef {object} Details
 * @property {number} [total]
 * @property {number} [idle]
 * @property {number} [used]
 * @property {number} [waiting]
 * @property {number} [maxWaiting]
 * @property {string|null} [tier]
 * @property {string|null} [host]
 * @property {Date|null} [nextProbe]
 * @property {string|null} [transactionId]
 * @property {unknown} [cause]
 */

class PoolError extends Error {
  constructor(message, code, details, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    for (const key of Object.keys(details)) this[key] = details[key];
    if (this.tier === null) this.tier = undefined;
  }
}

// No connection within the time given. `total`, `idle`, `used` and `waiting` are the pool's counts at
// that moment, `cause` is the last failed attempt to connect, if there was one.
class AcquireTimeoutError extends PoolError {
  /**
   * @param {string} [message]
   * @param {Details} [details]
   */
  constructor(
    message = 'timeout exceeded when trying to connect',
    { total, idle, used, waiting, tier, cause } = {},
  ) {
    super(message, 'ACQUIRE_TIMEOUT', { total, idle, used, waiting, tier }, cause);
  }
}

// The breaker of the tier is open: nothing was sent. `nextProbe` is when it tries again.
class CircuitOpenError extends PoolError {
  /**
   * @param {string} [message]
   * @param {Details} [details]
   */
  constructor(message = 'circuit breaker is open', { tier, host, nextProbe, cause } = {}) {
    super(message, 'CIRCUIT_OPEN', { tier, host, nextProbe }, cause);
  }
}

// The pool has spent its retries; the `cause` of an error that is not retried any more.
class RetryBudgetError extends PoolError {
  /**
   * @param {string} [message]
   * @param {Details} [details]
   */
  constructor(message = 'retry budget is spent', { tier, cause } = {}) {
    super(message, 'RETRY_BUDGET_SPENT', { tier }, cause);
  }
}

// The connection was lost while COMMIT was under way and the server cannot say what became of it.
class CommitOutcomeUnknownError extends PoolError {
  /**
   * @param {string} [message]
   * @param {Details} [details]
   */
  constructor(message = 'the outcome of the commit is unknown', { transactionId, cause } = {}) {
    super(message, 'COMMIT_OUTCOME_UNKNOWN', { transactionId }, cause);
  }
}

// `maxWaiting` callers wait already.
class PoolFullError extends PoolError {
  /**
   * @param {string} [message]
   * @param {Details} [details]
   */
  constructor(
    message = 'too many callers are waiting for a connection',
    { waiting, maxWaiting, tier, cause } = {},
  ) {
    super(message, 'POOL_FULL', { waiting, maxWaiting, tier }, cause);
  }
}

// Variables or options that make no sense; `problems` has one line for each.
class ConfigurationError extends PoolError {
  constructor(problems) {
    super(`invalid configuration: ${problems.join('; ')}`, 'INVALID_CONFIGURATION', { problems });
  }
}

const OWN = {
  AcquireTimeoutError,
  CircuitOpenError,
  RetryBudgetError,
  CommitOutcomeUnknownError,
  PoolFullError,
  ConfigurationError,
};
// On the prototype, where Error has it: an own `name` would show up among the properties.
for (const [name, type] of Object.entries(OWN)) {
  Object.defineProperty(type.prototype, 'name', { value: name, configurable: true, writable: true });
}

const KINDS = {
  database: (given) => withServerFields(new DatabaseError(given.message, given.length, 'error'), given),
  system: systemError,
  aggregate: aggregateError,
  type: (given, cause) => new TypeError(given.message, options(cause)),
  acquire: (given, cause) => new AcquireTimeoutError(given.message, { ...given, cause }),
  circuit: circuitOpenError,
  budget: (given, cause) => new RetryBudgetError(given.message, { ...given, cause }),
  full: (given, cause) => new PoolFullError(given.message, { ...given, cause }),
};

// Reasons of errors, which their messages do not decide: an application may throw the same words.
const reasons = new WeakMap();

// An error with a reason of layout.js: made here, or by the core.
function withReason(error, reason) {
  reasons.set(error, reason);
  return error;
}

// The reason of an error; undefined for those of an application.
function failureReason(error) {
  return reasons.get(error);
}

// The error that the core describes, as JSON text or parsed.
function fromNative(description) {
  const given = typeof description === 'string' ? JSON.parse(description) : description;
  const cause = given.cause ? fromNative(given.cause) : undefined;
  const make = Object.hasOwn(KINDS, given.kind) ? KINDS[given.kind] : plainError;
  const error = make(given, cause);
  if (given.ambiguous) setAmbiguous(error, given.ambiguous === 'earlier');
  if (cause !== undefined && error.cause === undefined) {
    Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true });
  }
  return error;
}

/** Notes that what failed may have taken effect. Shown of an earlier attempt only: the last one looks as under pg. */
function setAmbiguous(error, enumerable) {
  Object.defineProperty(error, 'ambiguous', { value: true, enumerable, configurable: true, writable: true });
}

function noticeFromNative(given) {
  return withServerFields(new NoticeMessage(given.length, given.message), given);
}

function withServerFields(target, given) {
  for (const field of SERVER_FIELDS) {
    const value = given[field];
    target[field] = value === null ? undefined : value;
  }
  return target;
}

function plainError(given, cause) {
  /** @type {NodeJS.ErrnoException} */
  const error = new Error(given.message, options(cause));
  if (given.code) error.code = given.code;
  return given.reason ? withReason(error, given.reason) : error;
}

function options(cause) {
  return cause === undefined ? undefined : { cause };
}

// As Node makes them: `connect ECONNREFUSED 127.0.0.1:5432`, `getaddrinfo ENOTFOUND host`.
function systemError(given, cause) {
  const { code, syscall, address, port, hostname } = given;
  /** @type {NodeJS.ErrnoException & { address?: string, port?: number, hostname?: string }} */
  const error = new Error(given.message || systemMessage(given), options(cause));
  error.errno = typeof given.errno === 'number' ? given.errno : numberOf(code);
  error.code = code;
  error.syscall = syscall;
  if (present(address)) error.address = address;
  if (present(port)) error.port = port;
  if (present(hostname)) error.hostname = hostname;
  return error;
}

function systemMessage({ code, syscall, address, port, hostname }) {
  if (present(hostname)) return `${syscall} ${code} ${hostname}`;
  if (!present(address)) return `${syscall} ${code}`;
  return present(port) ? `${syscall} ${code} ${address}:${port}` : `${syscall} ${code} ${address}`;
}

function present(value) {
  return value !== undefined && value !== null;
}

function circuitOpenError(given, cause) {
  const nextProbe = typeof given.nextProbe === 'number' ? new Date(given.nextProbe) : given.nextProbe;
  return new CircuitOpenError(given.message, { ...given, nextProbe, cause });
}

// libuv's numbers, which Node shows as `errno`.
let numbers = null;

function numberOf(code) {
  if (numbers === null) {
    numbers = new Map();
    for (const [number, [name]] of getSystemErrorMap()) numbers.set(name, number);
    // Node's name for two answers of the resolver.
    numbers.set('ENOTFOUND', numbers.get('EAI_NONAME'));
  }
  if (numbers.has(code)) return numbers.get(code);
  const positive = os.constants.errno[code];
  return positive === undefined ? undefined : -positive;
}

// What Node's connect gives when every address of a host has failed.
function aggregateError(given) {
  const errors = (given.errors || []).map(fromNative);
  /** @type {AggregateError & { code?: string }} */
  const error = new AggregateError(errors, given.message || undefined);
  if (errors.length > 0) error.code = errors[0].code;
  return error;
}

module.exports = {
  DatabaseError,
  NoticeMessage,
  ...OWN,
  fromNative,
  noticeFromNative,
  failureReason,
  setAmbiguous,
  withReason,
};
