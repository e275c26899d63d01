'use strict';

// Transactions inside a transaction: a savepoint each, on the one client. A level is a transaction that may have one
// open at a time inside it; the root is the transaction of the pool. A level that is over sends nothing more: who
// still holds its client is refused.

const { isUsable } = require('../client/session-state');
const { nextTick } = require('../async/timers');
const { own } = require('../statement/statement');
const { codeOf } = require('./terms');
const { transactionError } = require('./transaction-errors');

class NestingLevel {
  /**
   * @param client that of the pool
   * @param root the level of the whole transaction; absent: this is it
   */
  constructor(client, root) {
    this.client = client;
    this.root = root ?? this;
    this.savepoints = 0;
    this.isOver = false;
    // The level around it has ended before it.
    this.isAbandoned = false;
    this.inner = null;
    this.promise = null;
    // Of the root: the first conflict of a nested transaction. The whole runs again, whoever has caught the error.
    this.conflict = undefined;
  }

  /** Runs `work` inside a savepoint, with a client of its own. */
  begin(work, options) {
    const promise = this.nest(work, options);
    if (this.inner !== null) this.inner.promise ??= promise;
    return promise;
  }

  async nest(work, options) {
    if (typeof work !== 'function') throw new TypeError('a transaction takes a function of its client');
    if (options !== undefined && options !== null)
      throw new TypeError('a nested transaction has the options of the whole, and takes none');
    if (this.isOver) throw transactionError('nestedIsOver');
    if (this.inner !== null) throw transactionError('nestedIsOpen');
    const level = new NestingLevel(this.client, this.root);
    this.inner = level;
    try {
      return await level.run(work);
    } finally {
      this.inner = null;
    }
  }

  async run(work) {
    const { client, root } = this;
    root.savepoints += 1;
    const savepoint = `pgpool_rs_${root.savepoints}`;
    await client.query(own({ text: `SAVEPOINT ${savepoint}` }));
    try {
      if (this.isAbandoned) throw transactionError('nestedIsOver');
      const value = await work(clientOf(this));
      this.end();
      await client.query(own({ text: `RELEASE SAVEPOINT ${savepoint}` }));
      return value;
    } catch (error) {
      const isInside = !this.isAbandoned;
      this.abandon();
      if (isInside) {
        if (client._native.isConflict(codeOf(error) ?? '')) root.conflict ??= error;
        await this.rollBackTo(savepoint);
      }
      throw error;
    }
  }

  /** Its function has returned. Throws where that is no success. */
  end() {
    const { inner, isAbandoned } = this;
    this.isOver = true;
    if (isAbandoned) throw transactionError('nestedIsOver');
    if (inner !== null) throw transactionError('notAwaited');
    const status = this.client.getTransactionStatus();
    if (status === 'I') throw transactionError('ended');
    if (status === 'E' && this !== this.root) throw transactionError('nestedRolledBack');
    if (this.conflict !== undefined) throw this.conflict;
  }

  /** It ends, and all inside it, at whatever point they are. */
  abandon() {
    this.isOver = true;
    this.isAbandoned = true;
    if (this.inner === null) return;
    // Nobody may be there to hear that it is over.
    this.inner.promise?.catch(() => {});
    this.inner.abandon();
  }

  async rollBackTo(savepoint) {
    const { client } = this;
    if (!isUsable(client) || client.getTransactionStatus() === 'I') return;
    try {
      await client.query(own({ text: `ROLLBACK TO SAVEPOINT ${savepoint}; RELEASE SAVEPOINT ${savepoint}` }));
    } catch {
      // The transaction around it fails at its next statement, for the same reason.
    }
  }
}

/** The client of a nested transaction: that of the pool, refused once the level is over. */
function clientOf(level) {
  const own = {
    query: (query, ...rest) =>
      level.isOver ? refuse(level.client, query, ...rest) : level.client.query(query, ...rest),
    stream: (query, ...rest) => {
      if (level.isOver) throw transactionError('nestedIsOver');
      return level.client.stream(query, ...rest);
    },
    transaction: (work, options) => level.begin(work, options),
  };
  return new Proxy(level.client, {
    get(client, name) {
      if (Object.hasOwn(own, name)) return own[name];
      const value = Reflect.get(client, name);
      return typeof value === 'function' && name !== 'constructor' ? value.bind(client) : value;
    },
  });
}

/** Refuses a query in each of its forms. */
function refuse(client, query, ...rest) {
  const error = transactionError('nestedIsOver');
  if (query !== null && typeof query?.submit === 'function') {
    nextTick(() => query.handleError(error, client.connection));
    return query;
  }
  const callback = [...rest, query?.callback].find((one) => typeof one === 'function');
  if (callback === undefined) return Promise.reject(error);
  nextTick(() => callback(error));
  return undefined;
}

module.exports = { NestingLevel };
