'use strict';

// One statement on its way: what is asked, how it is answered (callback, promise or the events of a
// Query) and the results as they arrive. One object per call. Its fields are read by `request.pack`.

const Result = require('../result');
const { abortOn } = require('../async/abort-signal');
const { bare } = require('../async/callback-context');
const { rejectWith } = require('../async/answer');
const { throwAsync } = require('../async/uncaught');
const { REQUEST_FLAGS } = require('../native/layout');
const { misuseOf, wishesOf } = require('./retry-options');

const { SIMPLE, BINARY, IDEMPOTENT, READ_ONLY, CANCELLABLE } = REQUEST_FLAGS;
const NAME_LIMIT = 63;
const UNLIMITED = -1;
const LONGEST_MILLIS = 0xffffffff;

const longNames = new Set();

class Statement {
  constructor(types) {
    this.id = 0;
    this.counted = true;
    this.text = '';
    this.name = '';
    this.values = undefined;
    this.flags = 0;
    this.queryTimeout = 0;
    this.rows = 0;
    // The most bytes its rows may have; 0: as the client or pool has it, below: no limit.
    this.maxBytes = 0;
    this.signal = undefined;
    this.rowMode = undefined;
    // What it says about running again: deadline, retryAttempts, retryDelay, retryOn; mostly nothing.
    this.wishes = undefined;
    this.types = types;
    this.callback = undefined;
    this.resolve = undefined;
    // Where it runs, one of the two: a client, or a pool that chooses the connection.
    this.client = null;
    this.pool = null;
    // The Query that asked for it, if one did.
    this.query = null;
    // What a callback gets in place of an error: pg's clients say null, its pools undefined.
    this.success = null;
    this.result = null;
    this.results = null;
    this.open = false;
    this.failed = false;
    this.failure = undefined;
  }

  /** Takes over text, values, callback and the fields of a config, which stays as it is. */
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
      this.wishes = wishesOf(config);
      if (config.queryMode === 'extended') this.flags |= SIMPLE;
    }
    if (values) {
      if (typeof values === 'function') this.callback = values;
      else this.values = values;
    }
    if (callback) this.callback = callback;
    // Up to here the bit says "extended is wanted"; from here on what goes over the wire.
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

  /** Whether it goes over the wire as a text alone. */
  get isSimple() {
    return (this.flags & SIMPLE) !== 0;
  }

  /** The error of a statement that cannot be sent; makes it fit for packing otherwise. */
  misuse() {
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
    if (this.wishes !== undefined) {
      const misuse = misuseOf(this.wishes);
      if (misuse !== undefined) return misuse;
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
      // The statement runs to its end on the server; then it fails with this very error.
      this.failed = true;
      this.failure = error;
    }
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
    else this.finish();
  }

  takeFailure(failure, status) {
    if (this.client !== null) this.client._requests.failed(this, failure, status);
    else this.pool._failed(this, failure);
  }

  begin(shape) {
    if (this.result !== null && this.results === null) this.results = [this.result];
    this.result = new Result(this.rowMode, this.types);
    if (this.results !== null) this.results.push(this.result);
    this.open = true;
    if (shape !== undefined) this.result.open(shape);
  }

  /** The server is done with it: answers with its results, or with the exception of a type parser. */
  finish() {
    if (this.failed) {
      this.fail(this.failure);
      return;
    }
    let value = this.results;
    if (value === null) value = this.result;
    if (value === null) value = new Result(this.rowMode, this.types);
    if (this.resolve !== undefined) {
      this.resolve(value);
      return;
    }
    if (this.query !== null) this.query._results = value;
    if (this.callback) {
      try {
        this.callback(this.success, value);
      } catch (error) {
        throwAsync(error);
      }
    }
    if (this.query !== null) this.query.emit('end', value);
  }

  fail(error) {
    if (this.failed) {
      error = this.failure;
      this.failed = false;
    }
    if (this.resolve !== undefined) this.reject(this.resolve, error);
    else if (this.query !== null)
      this.query.handleError(error, this.client === null ? undefined : this.client.connection);
    else if (this.callback) this.callback(error);
  }

  reject(resolve, error) {
    // The reason of a signal belongs to whoever aborted: its stack stays as it is.
    if (this.signal && this.signal.aborted && error === this.signal.reason) resolve(Promise.reject(error));
    else rejectWith(resolve, error);
  }

  /**
   * As whoever looks into the queue of a client sees it: it answers by `callback`, which may be replaced by one
   * that chooses the context.
   */
  shown() {
    if (this.query !== null) return this.query;
    if (this.resolve !== undefined) {
      const { resolve } = this;
      this.resolve = undefined;
      this.callback = (error, result) => (error ? this.reject(resolve, error) : resolve(result));
    } else {
      this.callback = bare(this.callback);
    }
    return this;
  }

  /** Its signal has aborted, and its caller knows: what is under way is taken back. */
  withdraw() {
    if (this.client !== null) this.client._requests.withdraw(this);
    else if (this.id !== 0) this.pool._native.cancel(this.id);
  }
}

Statement.UNLIMITED = UNLIMITED;

// Whole milliseconds, 0 for none. As with Node's timers, less than one is one.
function timeoutOf(given) {
  const millis = Number(given) || 0;
  return millis === 0 ? 0 : Math.min(Math.max(Math.round(millis), 1), LONGEST_MILLIS);
}

function warnOfLength(name) {
  if (longNames.has(name)) return;
  longNames.add(name);
  console.error('Warning! Postgres only supports 63 characters for query names.');
  console.error('You supplied %s (%s)', name, name.length);
  console.error('This can cause conflicts and silent errors executing queries');
}

module.exports = Statement;
