'use strict';

// Statement: one call of `query` on its way, with its text, values and options, its way of answering (callback, promise
// or the events of a Query), and its results as they arrive. One object per call; `pack` reads its fields.

const Result = require('../result');
const { abortOn } = require('../async/abort-signal');
const { rejectWith } = require('../async/answer');
const { throwAsync } = require('../async/uncaught');
const { REQUEST_FLAGS } = require('../native/layout');
const { invalidOption, retryOptionsOf } = require('./retry-options');

const { SIMPLE, BINARY, IDEMPOTENT, READ_ONLY, CANCELLABLE, JOINED, OWN } = REQUEST_FLAGS;
// In a config: the statement does not wait for the answer to the one before.
const JOINS = Symbol('joins');
// In a config: the statement is ours, and none of the application's operations.
const IS_OWN = Symbol('isOwn');
// Transaction status of a connection that is in none.
const IDLE = 'I'.charCodeAt(0);
const NAME_LIMIT = 63;
const UNLIMITED = -1;
const LONGEST_MILLIS = 0xffffffff;

// Those that were warned of, the newest: as many as tell a fault, and no more than they may cost.
const LONG_NAMES = 100;
const longNames = new Set();

class Statement {
  constructor(types) {
    this.id = 0;
    this.keepsAlive = true;
    this.text = '';
    this.name = '';
    this.values = undefined;
    this.flags = 0;
    this.queryTimeout = 0;
    this.rows = 0;
    // Limit of the bytes of its rows; 0: that of the client or pool, UNLIMITED: none.
    this.maxBytes = 0;
    this.signal = undefined;
    this.rowMode = undefined;
    // Its retry options, mostly none.
    this.retryOptions = undefined;
    this.types = types;
    this.callback = undefined;
    this.resolve = undefined;
    // Its client, or the pool that chooses a connection for it; one of the two.
    this.client = null;
    this.pool = null;
    // The context of its call, where the pool may have to connect for it.
    this.context = null;
    // The Query that it belongs to, if any.
    this.query = null;
    // First argument of a callback on success: null from pg's clients, undefined from its pools.
    this.success = null;
    /** @type {Result|null} */
    this.result = null;
    /**
     * All of them, where there is more than one.
     * @type {Result[]|null}
     */
    this.results = null;
    this.open = false;
    this.failed = false;
    this.failure = undefined;
  }

  /** Takes over text, values, callback and the fields of a config, which is not changed. */
  read(config, values, callback) {
    if (typeof config === 'string') {
      this.text = config;
    } else {
      this.text = config.text;
      this.values = config.values;
      this.name = config.name;
      this.rows = config.rows;
      this.rowMode = config.rowMode;
      this.callback = config.callback;
      if (config.types) this.types = config.types;
      if (config.query_timeout) this.queryTimeout = config.query_timeout;
      if (config.signal !== undefined) this.signal = config.signal;
      if (config.maxResultBytes) this.maxBytes = config.maxResultBytes;
      if (config.binary) this.flags |= BINARY;
      if (config.idempotent) this.flags |= IDEMPOTENT;
      if (config.readOnly) this.flags |= READ_ONLY;
      if (config[JOINS]) this.flags |= JOINED;
      if (config[IS_OWN]) this.flags |= OWN;
      this.retryOptions = retryOptionsOf(config);
      if (config.queryMode === 'extended') this.flags |= SIMPLE;
    }
    if (values) {
      if (typeof values === 'function') this.callback = values;
      else this.values = values;
    }
    if (callback) this.callback = callback;
    // Until here the flag says that the extended protocol is wanted; from here on, which protocol is used.
    const extended =
      (this.flags & SIMPLE) !== 0 ||
      this.name ||
      this.rows ||
      (this.text && this.values && this.values.length > 0);
    this.flags = (this.flags & ~SIMPLE) | (extended ? 0 : SIMPLE);
  }

  binary() {
    this.flags |= BINARY;
  }

  /** Whether it goes over the simple protocol. */
  get isSimple() {
    return (this.flags & SIMPLE) !== 0;
  }

  /** The error of a statement that cannot be sent; undefined: it can, and is now ready for `pack`. */
  validate() {
    if (typeof this.text !== 'string') {
      if (typeof this.name !== 'string') {
        return new Error('A query must have either text or a name. Supplying neither is unsupported.');
      }
      this.text = this.text == null ? '' : String(this.text);
    }
    if (this.values && !Array.isArray(this.values)) return new Error('Query values must be an array');
    if (this.name) {
      this.name = String(this.name);
      if (this.name.length > NAME_LIMIT) warnOfLength(this.name);
    } else {
      this.name = '';
    }
    if (this.retryOptions !== undefined) {
      const error = invalidOption(this.retryOptions);
      if (error !== undefined) return error;
    }
    if (this.maxBytes !== 0 && !(this.maxBytes >= 1)) {
      if (this.maxBytes !== UNLIMITED) return new TypeError('maxResultBytes must be a positive number');
      this.maxBytes = 0;
    }
    this.rows = Number(this.rows) || 0;
    this.queryTimeout = timeoutOf(this.queryTimeout);
    if (this.signal === undefined || this.signal === null) return undefined;
    this.flags |= CANCELLABLE;
    return abortOn(this, this.signal);
  }

  takeRows(shape, frame, word) {
    if (this.failed) return;
    try {
      if (!this.open) this.begin(shape);
      const rows = this.result.rows;
      const before = rows.length;
      this.result.append(frame, word);
      if (this.query !== null) this.query._emitRows(this.result, before);
    } catch (error) {
      this.failAtEnd(error);
    }
  }

  /** The server runs the statement to its end; then it fails with this error. */
  failAtEnd(error) {
    if (this.failed) return;
    this.failed = true;
    this.failure = error;
  }

  takeCommand(tag) {
    if (this.failed) return;
    if (!this.open) this.begin(undefined);
    this.open = false;
    if (tag !== '') this.result.complete(tag);
  }

  takeRestart() {
    this.result = null;
    this.results = null;
    this.open = false;
    this.failed = false;
    this.failure = undefined;
  }

  takeDone(status) {
    if (this.client !== null) this.client._requests.settled(this, status);
    else {
      if (status !== IDLE) this.pool._delegate.transactionOpen(status);
      this.finish();
    }
  }

  takeFailure(failure, status) {
    if (this.client !== null) this.client._requests.failed(this, failure, status);
    else this.fail(this.pool._delegate.errorOf(failure));
  }

  begin(shape) {
    if (this.result !== null && this.results === null) this.results = [this.result];
    this.result = new Result(this.rowMode, this.types);
    if (this.results !== null) this.results.push(this.result);
    this.open = true;
    if (shape !== undefined) this.result.open(shape);
  }

  /** Answers once the server has: with the results, or with the exception of a type parser. */
  finish() {
    if (this.failed) {
      this.fail(this.failure);
      return;
    }
    /** @type {Result|Result[]|null} */
    let value = this.results;
    if (value === null) value = this.result;
    if (value === null) value = new Result(this.rowMode, this.types);
    if (this.resolve !== undefined) {
      this.resolve(value);
      return;
    }
    if (this.query !== null) {
      this.query._finish(this.success, value);
    } else if (this.callback) {
      try {
        this.callback(this.success, value);
      } catch (error) {
        throwAsync(error);
      }
    }
  }

  fail(error) {
    if (this.failed) {
      error = this.failure;
      this.failed = false;
    }
    if (this.resolve !== undefined) this.reject(this.resolve, error);
    else if (this.query !== null)
      this.query._fail(error, this.client === null ? undefined : this.client.connection);
    else if (this.callback) this.callback(error);
  }

  reject(resolve, error) {
    // The reason of a signal is the application's own: its stack stays.
    if (this.signal && this.signal.aborted && error === this.signal.reason) resolve(Promise.reject(error));
    else rejectWith(resolve, error);
  }

  /** From its signal: it has failed with the reason; withdraws what is under way. */
  withdraw() {
    if (this.client !== null) this.client._requests.withdraw(this);
    else if (this.id !== 0) this.pool._native.cancel(this.id);
  }
}

Statement.UNLIMITED = UNLIMITED;
Statement.JOINS = JOINS;

/** The config of a statement of ours. */
Statement.own = (config) => ({ ...config, [IS_OWN]: true });

// Whole milliseconds, 0 for none; less than one is one, as with Node's timers.
function timeoutOf(given) {
  const millis = Number(given) || 0;
  return millis === 0 ? 0 : Math.min(Math.max(Math.round(millis), 1), LONGEST_MILLIS);
}

function warnOfLength(name) {
  if (longNames.has(name)) return;
  longNames.add(name);
  if (longNames.size > LONG_NAMES) longNames.delete(longNames.values().next().value);
  console.error('Warning! Postgres only supports 63 characters for query names.');
  console.error('You supplied %s (%s)', name, name.length);
  console.error('This can cause conflicts and silent errors executing queries');
}

module.exports = Statement;
