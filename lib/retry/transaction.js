'use strict';

// A transaction that was handed over as a whole: BEGIN, the caller's function, COMMIT, all on one client.
// What becomes of a run that failed is decided by the core (`again`), which also does the waiting; here are
// the statements and their order.
//
// A COMMIT whose answer is lost is never guessed at. The transaction's id is asked for before COMMIT is
// sent, and afterwards, on another connection, what became of it (fate.js).

const { performance } = require('node:perf_hooks');
const { DatabaseError, CommitOutcomeUnknownError } = require('../errors');
const { fateOf, identify, learn } = require('./commit-outcome');
const { guarded } = require('../async/answer');
const { codeOf, explained, isGone, speaksOfLoss } = require('./terms');
const { traceTransaction } = require('../monitor/tracing-channels');
const { Alarm, Verdict } = require('./decision');
const { misuseOf } = require('../statement/retry-options');

const DEFAULT_RETRIES = 3;
const LEVELS = ['serializable', 'repeatable read', 'read committed', 'read uncommitted'];
const AMBIGUOUS = { message: 'ambiguous' };

/**
 * Runs `work(client)` inside a transaction and resolves with what it returns.
 * @param options `isolationLevel`, `readOnly`, `deferrable`, `retries`, `retryDelay`, `retryOn`, `deadline`
 */
async function transaction(pool, work, options = {}) {
  if (typeof work !== 'function') throw new TypeError('a transaction takes a function of its client');
  const whole = new Transaction(pool, work, options);
  return traceTransaction(pool, () => whole.complete());
}

class Transaction {
  constructor(pool, work, options) {
    this.pool = pool;
    this.work = work;
    this.begin = beginText(options);
    this.readOnly = Boolean(options.readOnly);
    this.attempts = count(
      'retries',
      options.retries ?? options.maxRetries ?? pool.options.retryAttempts ?? DEFAULT_RETRIES,
    );
    this.base = count('retryDelay', options.retryDelay ?? options.baseDelay);
    this.codes = codes(options);
    this.retries = 0;
    const deadline = count('deadline', options.deadline ?? pool.options.deadline) || undefined;
    this.until = deadline === undefined ? undefined : performance.now() + deadline;
  }

  remaining() {
    return this.until === undefined ? undefined : Math.max(0, Math.round(this.until - performance.now()));
  }

  async complete() {
    for (;;) {
      const run = await this.once();
      if (!('error' in run)) return run.value;
      let stage = 'open';
      let refusal = run.isUnknown
        ? AMBIGUOUS
        : await this.verdict({ stage, code: codeOf(run.error), lost: run.lost });
      // Nobody knows: the answer to COMMIT is lost, or the server says so of its own COMMIT.
      if (refusal !== undefined && refusal.message === 'ambiguous' && run.commit !== undefined) {
        stage = await this.settle(run);
        if (stage === 'committed') return run.value;
        refusal = await this.verdict({ stage, code: codeOf(run.error) });
      }
      if (refusal !== undefined) throw explained(run.error, refusal);
      this.retries += 1;
    }
  }

  /** 'committed' or 'aborted'. */
  async settle(run) {
    const fate = await fateOf(this, run.commit);
    if (fate === 'committed' || fate === 'aborted') return fate;
    this.pool._native.commitUnknown();
    const transactionId = run.commit.xid ?? undefined;
    throw new CommitOutcomeUnknownError(undefined, { transactionId, cause: run.error });
  }

  /** Undefined when the time to go on has come, else why not to. */
  verdict({ stage, code, lost = false, retries = this.retries, remaining = this.remaining() }) {
    const { attempts, base, codes } = this;
    const run = { stage, code, lost, retries, attempts, baseMillis: base, remainingMillis: remaining, codes };
    return new Verdict().of(this.pool._native, run);
  }

  /** One run: `{ value }`, or `{ error, lost }`; `isUnknown` when nobody knows whether it was committed. */
  async once() {
    const client = await this.pool._checkout({
      deadline: this.remaining(),
      attempts: this.attempts,
      base: this.base,
    });
    const run = new Run(this, client);
    const alarm = this.until === undefined ? undefined : new Alarm(this.pool._native, this.remaining());
    try {
      if (alarm === undefined) return await run.perform();
      return await Promise.race([run.perform(), alarm.rung.then(() => run.expire())]);
    } finally {
      if (alarm !== undefined) alarm.stop();
    }
  }
}

/** One run on one client, which it gives back. */
class Run {
  constructor(transaction, client) {
    this.transaction = transaction;
    this.client = client;
    this.release = client.release;
    this.released = false;
    this.commit = undefined;
    this.finished = new Promise((resolve) => {
      this.finish = resolve;
    });
    client.release = () => {
      throw new Error('the client of a transaction is released when the transaction ends');
    };
    client.on('error', ignore);
  }

  async perform() {
    const outcome = await this.steps();
    this.finish(outcome);
    return outcome;
  }

  async steps() {
    const { client, transaction } = this;
    let value;
    try {
      if (!transaction.readOnly) await learn(transaction.pool, client);
      await client.query(transaction.begin);
      value = await transaction.work(client);
      if (client.getTransactionStatus() === 'I') throw ended();
      const isOpen = client.getTransactionStatus() === 'T';
      this.commit =
        isOpen && !transaction.readOnly ? await identify(transaction.pool, client) : { xid: null };
    } catch (error) {
      return this.rollBack(error);
    }
    this.committing = true;
    try {
      const { command } = await client.query('COMMIT');
      this.giveBack(false);
      return command === 'COMMIT' ? { value } : { error: rolledBack() };
    } catch (error) {
      return this.uncommitted(error, value);
    }
  }

  async rollBack(error) {
    const { client } = this;
    if (!isGone(client)) await client.query('ROLLBACK').catch(ignore);
    const lost = isGone(client);
    this.giveBack(lost);
    return { error, lost: lost && speaksOfLoss(error) };
  }

  uncommitted(error, value) {
    const { client, commit } = this;
    // The server has answered, and has rolled back.
    const isAnswered = error instanceof DatabaseError && !isGone(client);
    this.giveBack(!isAnswered);
    return { error, value, commit, lost: false, isUnknown: !isAnswered };
  }

  /** The deadline has passed. A COMMIT under way has its own end. */
  expire() {
    this.giveBack(true);
    if (this.committing) return this.finished;
    const error = new Error('the deadline of the transaction has passed');
    error.code = 'DEADLINE_EXCEEDED';
    return { error };
  }

  giveBack(destroy) {
    if (this.released) return;
    this.released = true;
    this.client.removeListener('error', ignore);
    // What a listener throws changes nothing about what became of the transaction.
    guarded(() => this.release.call(this.client, destroy));
  }
}

function ignore() {}

function beginText({ isolationLevel, readOnly, deferrable }) {
  let text = 'BEGIN';
  if (isolationLevel != null) {
    const level = String(isolationLevel).toLowerCase();
    if (!LEVELS.includes(level)) throw new TypeError(`isolationLevel must be one of ${LEVELS.join(', ')}`);
    text += ` ISOLATION LEVEL ${level.toUpperCase()}`;
  }
  if (readOnly) text += ' READ ONLY';
  if (deferrable) text += ' DEFERRABLE';
  return text;
}

function count(name, value) {
  if (value == null) return undefined;
  if (typeof value === 'number' && value >= 0 && value <= 0x7fffffff) return Math.round(value);
  throw new TypeError(`${name} must be a number of at least 0`);
}

function codes({ retryOn }) {
  const misuse = misuseOf({ retryOn });
  if (misuse !== undefined) throw misuse;
  return retryOn ?? [];
}

function ended() {
  const error = new Error('the transaction was ended by its own function');
  error.code = 'TRANSACTION_ENDED';
  return error;
}

function rolledBack() {
  const error = new Error('the transaction was rolled back: COMMIT was answered by ROLLBACK');
  error.code = 'TRANSACTION_ROLLED_BACK';
  return error;
}

module.exports = { transaction };
