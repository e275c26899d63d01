'use strict';

// A whole transaction: BEGIN, the caller's function and COMMIT, all on one client. This file owns the
// statements and their order; whether a failed run is repeated is decided by the core, which also waits.
//
// BEGIN goes out with the first statement, and a list with BEGIN and the question for the id, where nobody can tell the
// difference (opening.js). Where the server refuses BEGIN, its error is that of the run, whatever the function made of it.
//
// A COMMIT whose answer is lost is never guessed at: commit-outcome.js asks the server.

const { DatabaseError, CommitOutcomeUnknownError } = require('../errors');
const { NestingLevel } = require('./nesting');
const { localSettings } = require('./local-settings');
const { transactionError } = require('./transaction-errors');
const { commitOutcome, transactionId } = require('./commit-outcome');
const { Opening } = require('./opening');
const { detectDialect } = require('./xid-dialects');
const { callUserCode } = require('../async/uncaught');
const { isUsable } = require('../client/session-state');
const { codeOf, isConnectionError, withAmbiguity, withBudgetCause } = require('./terms');
const { traceTransaction } = require('../monitor/tracing-channels');
const { CoreTimer, RetryDecision } = require('./decision');
const { STAGES } = require('../native/layout');
const { invalidOption } = require('../statement/retry-options');
const { own } = require('../statement/statement');
const { monotonicNow } = require('../async/timers');

const DEFAULT_RETRIES = 3;
const ISOLATION_LEVELS = ['serializable', 'repeatable read', 'read committed', 'read uncommitted'];
const AMBIGUOUS = { again: false, ambiguous: true };

/**
 * Runs `work(client)` inside a transaction and resolves with what it returns.
 * @param options `isolationLevel`, `readOnly`, `idempotent`, `deferrable`, `retries`, `retryDelay`, `retryOn`,
 *   `deadline`, `set`
 * @param queries what `work` runs one after the other, where that is all it does
 */
async function transaction(pool, work, options = {}, queries = undefined) {
  if (typeof work !== 'function') throw new TypeError('a transaction takes a function of its client');
  const whole = new Transaction(pool, work, options, queries);
  return traceTransaction(pool, () => whole.run());
}

class Transaction {
  constructor(pool, work, options, queries) {
    this.pool = pool;
    this.work = work;
    this.queries = queries;
    this.begin = beginText(options);
    this.settings = localSettings(options.set);
    this.readOnly = Boolean(options.readOnly);
    this.idempotent = Boolean(options.idempotent);
    this.attempts = count(
      'retries',
      options.retries ?? options.maxRetries ?? pool.options.retryAttempts ?? DEFAULT_RETRIES,
    );
    this.base = count('retryDelay', options.retryDelay ?? options.baseDelay);
    this.codes = codes(options);
    this.retries = 0;
    // The error of the first run whose COMMIT may have taken effect.
    this.unknown = undefined;
    const deadline = count('deadline', options.deadline ?? pool.options.deadline) || undefined;
    this.until = deadline === undefined ? undefined : monotonicNow() + deadline;
  }

  remaining() {
    return this.until === undefined ? undefined : Math.max(0, Math.round(this.until - monotonicNow()));
  }

  async run() {
    try {
      return await this.runUntilSettled();
    } catch (error) {
      throw withAmbiguity(error, this.unknown);
    }
  }

  async runUntilSettled() {
    for (;;) {
      const run = await this.runOnce();
      if (!('error' in run)) return run.value;
      let decision = run.isUnknown ? AMBIGUOUS : await this.decide({ ...run, stage: STAGES.OPEN });
      // An ambiguous COMMIT: its answer is lost, or the server says that it does not know.
      if (!decision.again && decision.ambiguous && run.commit !== undefined) {
        const outcome = await this.settle(run);
        if (outcome === 'committed') return run.value;
        decision = await this.decide({ ...run, stage: outcome });
        if (!decision.again && outcome === 'unknown') throw this.unknown;
      }
      if (!decision.again) throw withBudgetCause(run.error, decision);
      this.retries += 1;
    }
  }

  /** The outcome of its COMMIT. Throws where it stays unknown and the transaction may not run again. */
  async settle(run) {
    const outcome = await commitOutcome(this, run.commit);
    if (outcome !== 'unknown') return outcome;
    this.pool._native.commitUnknown();
    const transactionId = run.commit.xid ?? undefined;
    const error = new CommitOutcomeUnknownError(undefined, { transactionId, cause: run.error });
    if (!this.idempotent) throw error;
    this.unknown ??= error;
    return outcome;
  }

  /** The core's decision on a run, when it is time to go on. */
  decide({ stage, error, lost, isCommitted, retries = this.retries, remaining = this.remaining() }) {
    const { attempts, base, codes } = this;
    return new RetryDecision().of(this.pool._native, {
      stage,
      code: codeOf(error),
      lost,
      committed: isCommitted,
      idempotent: this.idempotent && stage === STAGES.UNKNOWN && !isCommitted,
      retries,
      attempts,
      baseMillis: base,
      remainingMillis: remaining,
      codes,
    });
  }

  /**
   * Runs it once: `{ value }`, or `{ error, lost, isCommitted }`; `isUnknown` when its COMMIT was not answered.
   */
  async runOnce() {
    const client = await this.pool._checkout({
      deadline: this.remaining(),
      attempts: this.attempts,
      base: this.base,
    });
    const run = new TransactionRun(this, client);
    const timer = this.until === undefined ? undefined : new CoreTimer(this.pool._native, this.remaining());
    try {
      if (timer === undefined) return await run.perform();
      return await Promise.race([run.perform(), timer.elapsed.then(() => run.expire())]);
    } finally {
      if (timer !== undefined) timer.stop();
    }
  }
}

/** One run on one client. It gives the client back exactly once. */
class TransactionRun {
  constructor(transaction, client) {
    this.transaction = transaction;
    this.client = client;
    this.release = client.release;
    this.released = false;
    this.isWatched = false;
    // Whether the function may have committed something by itself: then nothing is run again.
    this.isCommitted = false;
    this.commit = undefined;
    this.opening = new Opening(transaction, client);
    this.finished = new Promise((resolve) => {
      this.finish = resolve;
    });
    client.release = () => {
      throw new Error('the client of a transaction is released when the transaction ends');
    };
    client.on('error', ignore);
    this.nesting = new NestingLevel(client);
    client._nesting = this.nesting;
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
      if (!transaction.readOnly) await detectDialect(transaction.pool, client);
      this.watch();
      const answered = await this.opening.sendAll(transaction.queries);
      if (answered === undefined) await this.opening.begin();
      value = answered === undefined ? await transaction.work(client) : answered.results;
      this.opening.check();
      this.unwatch();
      this.nesting.end();
      const isOpen = client.getTransactionStatus() === 'T';
      if (!isOpen || transaction.readOnly) this.commit = { xid: null };
      else this.commit = answered?.commit ?? (await transactionId(transaction.pool, client));
    } catch (error) {
      return this.rollBack(error);
    }
    this.committing = true;
    try {
      const { command } = await client.query(own({ text: 'COMMIT' }));
      this.giveBack(false);
      return command === 'COMMIT' ? { value } : { error: transactionError('rolledBack') };
    } catch (error) {
      return this.uncommitted(error, value);
    }
  }

  /** Has the core notice whether the function commits something by itself. */
  watch() {
    this.isWatched = true;
    this.client._native.watchTransaction(this.client._handle.id);
  }

  unwatch() {
    if (!this.isWatched) return;
    this.isWatched = false;
    this.isCommitted = this.client._native.mayHaveCommitted(this.client._handle.id);
  }

  async rollBack(failure) {
    const { client, opening } = this;
    const error = opening.refused ?? failure;
    this.unwatch();
    // The function has committed nothing: all that it sent was refused.
    if (opening.error !== undefined) this.isCommitted = false;
    this.nesting.abandon();
    if (opening.end() && isUsable(client)) {
      // What the function may still send stays refused: it would run outside of the transaction.
      const rolledBack = client._requests.unrefused(() => client.query(own({ text: 'ROLLBACK' })));
      await rolledBack.catch(ignore);
    }
    const lost = !isUsable(client);
    this.giveBack(lost);
    return { error, lost: lost && isConnectionError(error), isCommitted: this.isCommitted };
  }

  uncommitted(error, value) {
    const { client, commit } = this;
    // An error that leaves the connection usable is an answer: the server has rolled back.
    const isAnswered = error instanceof DatabaseError && isUsable(client);
    this.giveBack(!isAnswered);
    return { error, value, commit, lost: false, isUnknown: !isAnswered, isCommitted: this.isCommitted };
  }

  /** Ends the run at its deadline; a COMMIT under way is waited for. */
  expire() {
    this.giveBack(true);
    if (this.committing) return this.finished;
    return { error: transactionError('late') };
  }

  giveBack(destroy) {
    if (this.released) return;
    this.released = true;
    this.nesting.abandon();
    this.opening.end();
    this.client._requests.accept();
    this.client._nesting = null;
    this.client.removeListener('error', ignore);
    // A listener that throws does not change the outcome of the transaction.
    callUserCode(() => this.release.call(this.client, destroy));
  }
}

function ignore() {}

function beginText({ isolationLevel, readOnly, deferrable }) {
  let text = 'BEGIN';
  if (isolationLevel != null) {
    const level = String(isolationLevel).toLowerCase();
    if (!ISOLATION_LEVELS.includes(level))
      throw new TypeError(`isolationLevel must be one of ${ISOLATION_LEVELS.join(', ')}`);
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
  const invalid = invalidOption({ retryOn });
  if (invalid !== undefined) throw invalid;
  return retryOn ?? [];
}

module.exports = { transaction };
