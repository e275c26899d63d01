'use strict';

// Row stream (`client.stream`, `pool.stream`): the rows of one statement as an async iterable. The server keeps the
// portal open and sends a page at a time; the next page is requested while one is read, so at most two are in
// memory. Nothing is sent before the first row is asked for.

const Statement = require('../statement/statement');
const { callUserCode } = require('../async/uncaught');
const { REQUEST_FLAGS } = require('../native/layout');

const { PAGED } = REQUEST_FLAGS;
const BATCH_SIZE = 1000;

class PagedStatement extends Statement {
  constructor(types, rows) {
    super(types);
    // Memory is limited by the page already.
    this.maxBytes = Statement.UNLIMITED;
    this.stream = rows;
    // Set by abort-signal.js.
    this.aborted = false;
  }

  // From the bridge: a page is complete, and the core waits for `turnPage`.
  takePause() {
    this.stream._page(this.failed);
  }

  /** Takes the rows that have arrived. */
  take() {
    const { result } = this;
    if (result === null) return [];
    const { rows } = result;
    result.rows = [];
    return rows;
  }

  turnPage(on) {
    const { client } = this;
    if (client._handle !== null && client._handle.open)
      client._native.turnPage(client._handle.id, this.id, on);
  }

  finish() {
    this.stream._end(this.failed ? this.failure : undefined);
  }

  fail(error) {
    this.stream._end(this.failed ? this.failure : error, true);
  }
}

class RowStream {
  /**
   * @param acquire gives `{ client, release }` for the time of the iteration
   * @param batchSize rows per page
   */
  constructor(acquire, text, values, options = {}) {
    const given = typeof text === 'object' && text !== null ? text : { text };
    const { batchSize = given.batchSize ?? BATCH_SIZE, ...rest } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1)
      throw new TypeError('batchSize must be a positive integer');
    this._acquire = acquire;
    this._config = { ...given, ...rest, rows: batchSize };
    if (values !== undefined) this._config.values = values;
    this._statement = null;
    this._release = null;
    this._current = [];
    this._at = 0;
    // A page that arrived while the one before is still read.
    this._next = null;
    // Callers that wait for a row, and callers that wait for the end.
    this._waiting = [];
    this._leaving = [];
    this._begun = false;
    this._stopping = false;
    this._over = false;
    this._error = undefined;
    this._failed = false;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  next() {
    if (this._at < this._current.length)
      return Promise.resolve({ value: this._current[this._at++], done: false });
    return new Promise((resolve, reject) => {
      this._waiting.push({ resolve, reject });
      if (!this._begun) this._begin();
      else this._serve();
    });
  }

  /** Ends the iteration early; resolves when the connection is free again. */
  return(value) {
    const left = { value, done: true };
    if (!this._begun) {
      this._begun = true;
      this._over = true;
    }
    this._current = [];
    this._at = 0;
    if (this._over) {
      this._serve();
      return Promise.resolve(left);
    }
    return new Promise((resolve) => {
      this._leaving.push(() => resolve(left));
      this._stop();
    });
  }

  _begin() {
    this._begun = true;
    this._acquire(this._config.signal)
      .then(({ client, release }) => {
        this._release = release;
        if (this._stopping) this._end();
        else this._send(client);
      })
      .catch((error) => this._end(error, true));
  }

  _send(client) {
    const statement = new PagedStatement(client._types, this);
    statement.read(this._config, undefined, undefined);
    statement.callback = undefined;
    statement.flags |= PAGED;
    this._statement = statement;
    client._enqueue(statement);
  }

  // From the statement: a page has arrived.
  _page(failed) {
    this._next = this._statement.take();
    if (this._stopping || failed) this._statement.turnPage(false);
    else this._serve();
  }

  _stop() {
    if (this._stopping) return;
    this._stopping = true;
    if (this._next !== null && this._statement !== null) this._statement.turnPage(false);
  }

  _end(error, failed = error !== undefined) {
    if (this._over) return;
    if (this._statement !== null && !failed && !this._stopping) {
      const rows = this._statement.take();
      this._next = this._next === null ? rows : this._next.concat(rows);
    }
    if (this._statement !== null && this._statement.aborted) {
      this._current = [];
      this._at = 0;
      this._next = null;
    }
    this._over = true;
    this._failed = failed && !this._stopping;
    this._error = error;
    callUserCode(() => this._release !== null && this._release());
    for (const leave of this._leaving) leave();
    this._serve();
  }

  // Gives rows to waiting callers, and requests another page when one is begun.
  _serve() {
    while (this._waiting.length > 0) {
      if (this._at === this._current.length) {
        if (this._next === null || this._stopping) break;
        this._current = this._next;
        this._at = 0;
        this._next = null;
        if (!this._over) this._statement.turnPage(true);
        continue;
      }
      this._waiting.shift().resolve({ value: this._current[this._at++], done: false });
    }
    if (!this._over) return;
    for (const { resolve, reject } of this._waiting.splice(0)) {
      if (this._failed) {
        this._failed = false;
        reject(this._error);
      } else {
        resolve({ value: undefined, done: true });
      }
    }
  }
}

module.exports = { RowStream };
