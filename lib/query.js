'use strict';

// pg's Query: a statement that answers by events (`row`, `end`, `error`). Applications make one and pass it to
// `client.query`; a Statement does its work.

const { EventEmitter } = require('node:events');
const { runIn } = require('./async/callback-context');
const { callUserCode, throwAsync } = require('./async/uncaught');
const Result = require('./result');
const Statement = require('./statement/statement');

/**
 * The fields that are not enumerable.
 * @typedef {object} HiddenFields
 * @property {Statement|null} _statement
 * @property {object|null} _context
 * @property {{ signal: AbortSignal|undefined, maxResultBytes: number|undefined }} _beyond
 * @property {boolean} _limited
 */

const Emitter = /** @type {typeof EventEmitter & (new (...args: any[]) => HiddenFields)} */ (EventEmitter);

class Query extends Emitter {
  /**
   * @param config the text, or a config as of `client.query`
   * @param values parameters, or the callback
   * @param callback `(error, result)`; with a callback no `error` event is emitted
   */
  constructor(config, values, callback) {
    super();
    const given = typeof config === 'string' ? { text: config } : config;
    this.text = given.text;
    this.values = given.values;
    this.rows = given.rows;
    this.types = given.types;
    this.name = given.name;
    this.queryMode = given.queryMode;
    this.binary = given.binary;
    this.portal = given.portal || '';
    this.callback = given.callback;
    if (typeof values === 'function') this.callback = values;
    else if (values) this.values = values;
    if (callback) this.callback = callback;
    this._rowMode = given.rowMode;
    this._queryTimeout = given.query_timeout;
    const { domain } = /** @type {any} */ (process);
    if (domain && this.callback) this.callback = domain.bind(this.callback);
    this._result = new Result(this._rowMode, this.types);
    this._results = this._result;
    Object.defineProperty(this, '_statement', { value: null, writable: true });
    // The context of its query call.
    Object.defineProperty(this, '_context', { value: null, writable: true });
    // Options that pg's queries do not know.
    Object.defineProperty(this, '_beyond', {
      value: { signal: given.signal, maxResultBytes: given.maxResultBytes },
    });
    // Whether a query_timeout applies to it.
    Object.defineProperty(this, '_limited', { value: false, writable: true });
  }

  /** Whether the extended protocol is used: for values, a name, paging, or on demand. */
  requiresPreparation() {
    if (this.queryMode === 'extended' || this.name || this.rows) return true;
    return Boolean(this.text && this.values && this.values.length > 0);
  }

  // Its presence tells `client.query` that this is no config; a Query is never submitted by itself.
  submit() {
    return new Error('a Query is submitted by client.query');
  }

  handleError(error, connection) {
    if (this.callback) this.callback(error);
    // A query with a time limit ends no process that does not listen, as in pg.
    else if (!this._limited || this.listenerCount('error') > 0) this.emit('error', error);
  }

  _toStatement(types) {
    const statement = new Statement(types);
    statement.read(
      {
        text: this.text,
        values: this.values,
        rows: this.rows,
        types: this.types,
        name: this.name,
        queryMode: this.queryMode,
        binary: this.binary,
        rowMode: this._rowMode,
        query_timeout: this._queryTimeout,
        ...this._beyond,
      },
      undefined,
      undefined,
    );
    statement.query = this;
    this._statement = statement;
    return statement;
  }

  // Rows are kept for a callback, or when nobody listens for `row`.
  _emitRows(result, from) {
    if (this.listenerCount('row') === 0) return;
    runIn(this._context, emitRows, this, result, from);
    if (!this.callback) result.rows.length = from;
  }

  /** From its statement: the query has succeeded. */
  _finish(success, results) {
    this._results = results;
    runIn(this._context, () => {
      if (this.callback) callUserCode(() => this.callback(success, results));
      callUserCode(() => this.emit('end', results));
    });
  }

  /** From its statement: the query has failed. */
  _fail(error, connection) {
    runIn(this._context, callUserCode, () => this.handleError(error, connection));
  }
}

// Called for each chunk of rows, so without closures.
function emitRows(query, result, from) {
  const { rows } = result;
  const end = rows.length;
  for (let i = from; i < end; i++) {
    try {
      query.emit('row', rows[i], result);
    } catch (error) {
      throwAsync(error);
    }
  }
}

module.exports = Query;
