'use strict';

// The replicas of a pool: standbys that take its `readOnly` queries, each a small pool of its own. One is used while all
// that the primary had written `maxLagMillis` ago is known to be replayed there; whatever a replica cannot do, the
// primary does.
//
// In the background the primary is asked how far its log goes, and each replica how far it has replayed it. So neither
// clocks nor an idle primary deceive, and a standby that receives nothing any more is found out. Nobody asks while
// there are no such queries.

const { DatabaseError, failureReason } = require('../errors');
const { callbackOrPromise } = require('../async/answer');
const { inContext } = require('../async/callback-context');
const { clearTimeout, monotonicNow, setTimeout } = require('../async/timers');
const { codeOf } = require('../retry/terms');
const { hostList, parseConnectionString } = require('../config/hosts');
const { breakerSettings } = require('../config/core-settings');
const { hide } = require('../config/secrets');
const { bridge } = require('../native/bridge');
const { REASONS } = require('../native/layout');
const { own } = require('../statement/statement');

const MAX_LAG_MILLIS = 5000;
const LONGEST_LAG_MILLIS = 0x7fffffff;
const LONGEST_PAUSE_MILLIS = 1000;
const SHORTEST_PAUSE_MILLIS = 20;
// Without queries for so long, nobody asks for the lag any more.
const UNUSED_MILLIS = 10_000;
const MAX = 5;
const CONNECT_MILLIS = 2000;
// So many questions without an answer, and the server is taken for gone.
const UNANSWERED_QUESTIONS = 2;
// The most positions of the primary that are remembered.
const MOST_POSITIONS = 256;

// What is written counts: what is not may be lost, and reaches a standby later.
const WRITTEN = 'SELECT pg_catalog.pg_current_wal_lsn()::text AS position';
const REPLAYED =
  'SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()::text END AS position';
// Options of the pools that ask: one connection, which stays for as long as it is in use.
const ASKING = {
  max: 1,
  min: 0,
  monitor: false,
  log: undefined,
  idleTimeoutMillis: UNUSED_MILLIS,
  maxUses: undefined,
  onConnect: undefined,
  verify: undefined,
};
const SILENCES = new Set([REASONS.QUERY_TIMEOUT, REASONS.CONNECT_TIMEOUT, 'ACQUIRE_TIMEOUT', 'ETIMEDOUT']);
const TEXT = { getTypeParser: () => String };

/** Asks one server again and again where it stands, for as long as somebody wants to know. */
class Question {
  /** @param gone called each time that the server has not answered for a while; `true`: not even by a refusal */
  constructor(pool, PoolClass, changes, text, take, gone = (_isSilent) => {}) {
    this.pool = poolOf(pool, PoolClass, { ...changes, ...ASKING });
    this.text = text;
    this.take = take;
    this.gone = gone;
    this.unanswered = 0;
    this.timer = undefined;
    this.isAsking = false;
  }

  /** @param pause gives the milliseconds to the next time; undefined: that is enough */
  ask(pause) {
    if (this.isAsking) return;
    this.isAsking = true;
    const askAgain = async () => {
      await this.askOnce();
      const millis = pause();
      this.isAsking = millis !== undefined;
      if (this.isAsking) this.timer = setTimeout(askAgain, millis).unref();
    };
    askAgain();
  }

  async askOnce() {
    const at = monotonicNow();
    try {
      const { rows } = await this.pool.query(
        own({ text: this.text, types: TEXT, query_timeout: CONNECT_MILLIS }),
      );
      const [{ position }] = rows;
      this.unanswered = 0;
      if (position !== null) this.take(numberOf(position), at);
    } catch (error) {
      // A server that does not answer is as one that gets no further.
      this.unanswered = error instanceof DatabaseError ? 0 : this.unanswered + 1;
      if (this.unanswered >= UNANSWERED_QUESTIONS) this.gone(isSilence(error));
    }
  }

  end() {
    clearTimeout(this.timer);
    return this.pool.end();
  }
}

/** One standby. */
class Replica {
  constructor(pool, PoolClass, place, max, written) {
    const { tier } = pool.options;
    const own = { ...place, targetSessionAttrs: 'any' };
    const name = tier === undefined ? {} : { tier: `${tier} replica ${place.host}:${place.port}` };
    this.place = place;
    this.queries = 0;
    this.fallbacks = 0;
    // All that was written up to this moment is replayed.
    this.freshAt = -Infinity;
    this.pool = poolOf(pool, PoolClass, { ...own, ...name, max, min: 0 });
    const take = (position) => {
      const { at } = written.findLast((one) => one.position <= position) ?? {};
      if (at !== undefined) this.freshAt = Math.max(this.freshAt, at);
    };
    this.question = new Question(pool, PoolClass, own, REPLAYED, take, (isSilent) => this.giveUp(isSilent));
  }

  get lagMillis() {
    return monotonicNow() - this.freshAt;
  }

  /** It gets no queries for now. Silent, its connections are closed: what runs on them fails, and is the primary's. */
  giveUp(isSilent) {
    this.freshAt = -Infinity;
    if (!isSilent) return;
    for (const { id } of bridge().connectionsOf(this.pool._delegate)) this.pool._native.closeConnection(id);
  }

  get load() {
    return this.pool.waitingCount + this.pool.totalCount - this.pool.idleCount;
  }

  end() {
    return Promise.all([this.pool.end(), this.question.end()]);
  }
}

class Replicas {
  /** @param PoolClass the class of its own pools, which know no replicas */
  constructor(pool, PoolClass, { host, port, max = MAX, maxLagMillis = MAX_LAG_MILLIS }) {
    this.pool = pool;
    this.maxLagMillis = Math.min(maxLagMillis, LONGEST_LAG_MILLIS);
    this.pauseMillis = Math.min(LONGEST_PAUSE_MILLIS, Math.max(SHORTEST_PAUSE_MILLIS, maxLagMillis / 4));
    // Where the log of the primary ended, and when it was asked for; the oldest first.
    const written = [];
    this.written = written;
    this.question = new Question(
      pool,
      PoolClass,
      { targetSessionAttrs: 'read-write' },
      WRITTEN,
      (position, at) => {
        remember(written, position, at);
        while (written[0].at < at - this.maxLagMillis) written.shift();
      },
    );
    this.all = hostList(host, port).map((place) => new Replica(pool, PoolClass, place, max, written));
    this.usedAt = 0;
    this.tellsConnects = false;
    this.isOver = false;
  }

  /** A replica for a query; undefined: the primary has to do it. */
  choose() {
    this.usedAt = monotonicNow();
    if (!this.tellsConnects && this.pool.listenerCount('connect') > 0) this.tellConnects();
    const pause = () =>
      this.isOver || monotonicNow() - this.usedAt > UNUSED_MILLIS ? undefined : this.pauseMillis;
    for (const { question } of [this, ...this.all]) question.ask(pause);
    const fresh = this.all.filter((replica) => replica.lagMillis <= this.maxLagMillis);
    return fresh.sort((a, b) => a.load - b.load)[0];
  }

  get pools() {
    return [this.question.pool, ...this.all.flatMap(({ pool, question }) => [pool, question.pool])];
  }

  /** Takes over what was changed of the pool, but for its sizes. */
  configure() {
    const { adaptive } = this.pool.options;
    for (const pool of this.pools) pool.configure({ adaptive, breaker: breakerOf(this.pool) });
  }

  measure(on) {
    for (const { pool } of this.all) pool._measure(on);
  }

  /** Nobody is led to the pool any more. */
  abandon() {
    for (const pool of this.pools) pool._abandon();
  }

  /** Listeners of the pool set up connections to replicas, too. */
  tellConnects() {
    this.tellsConnects = true;
    for (const replica of this.all) replica.pool.on('connect', (client) => this.pool.emit('connect', client));
  }

  /** Runs a query on `replica`, and on the primary where that fails. */
  async query(replica, config, values) {
    const begun = monotonicNow();
    replica.queries += 1;
    try {
      return await replica.pool.query(changed(config, { retryAttempts: 0 }), values);
    } catch (error) {
      if (!this.mayFallBack(error, config)) throw error;
      const deadline = Number(config.deadline ?? this.pool.options.deadline) || undefined;
      const left = deadline && Math.round(deadline - (monotonicNow() - begun));
      if (left !== undefined && left < 1) throw error;
      replica.fallbacks += 1;
      return this.pool.query(onPrimary(config, left), values);
    }
  }

  /** Whether the primary may do better. What ran out of its time on a replica does not begin again. */
  mayFallBack(error, { signal }) {
    if (this.isOver || signal?.aborted) return false;
    if (failureReason(error) === REASONS.QUERY_TIMEOUT || error.code === 'RESULT_TOO_LARGE') return false;
    const { _native } = this.question.pool;
    return !_native?.isCancelled(codeOf(error) ?? '');
  }

  /** Each of them as it stands. */
  get status() {
    return this.all.map(({ place, lagMillis, queries, fallbacks }) => ({
      ...place,
      isUsed: lagMillis <= this.maxLagMillis,
      lagMillis: Number.isFinite(lagMillis) ? Math.round(lagMillis) : null,
      queries,
      fallbacks,
    }));
  }

  async end() {
    this.isOver = true;
    await Promise.all([this.question.end(), ...this.all.map((replica) => replica.end())]);
  }
}

/** The same query, which is no longer sent to a replica but may still run twice. */
function onPrimary(config, deadline) {
  const own = { readOnly: false, idempotent: true };
  return changed(config, deadline === undefined ? own : { ...own, deadline });
}

/** A config that has everything of another one, which may be frozen, but for these. */
function changed(config, own) {
  return Object.create(config, Object.getOwnPropertyDescriptors(own));
}

/** Adds a position of the primary. Of those at which it stood still the last moment counts; of many every other goes. */
function remember(written, position, at) {
  if (written.at(-1)?.position === position) written.pop();
  written.push({ position, at });
  const { length } = written;
  if (length > MOST_POSITIONS) written.splice(0, length, ...written.filter((_, i) => (length - i) % 2 === 1));
}

/** Whether a server was not heard of at all. One that refuses, or cannot be asked, may go on with what it has. */
function isSilence(error) {
  return SILENCES.has(failureReason(error)) || SILENCES.has(error.code);
}

/**
 * Runs a query that only reads on a replica, if one is up to it.
 * @returns `{ promise }`, undefined where it was called with a callback; undefined: it is the primary's
 */
function queryReplica(pool, config, values, callback) {
  if (pool.ending || typeof config.submit === 'function') return undefined;
  const replica = pool._replicas.choose();
  if (replica === undefined) return undefined;
  if (typeof values === 'function') [values, callback] = [undefined, values];
  const answer = callbackOrPromise(pool.Promise, inContext(callback));
  pool._replicas.query(replica, config, values).then(
    (result) => answer.callback(undefined, result),
    (error) => answer.callback(error),
  );
  return { promise: answer.promise };
}

/** A pool with the options of `pool`, but for these: it fails soon, and is tried again by nobody. */
function poolOf(pool, PoolClass, changes) {
  const { connectionString, password, replica, ...options } = pool.options;
  const parts = connectionString === undefined ? {} : parseConnectionString(connectionString);
  delete parts.target_session_attrs;
  delete options.target_session_attrs;
  const own = { ...options, ...parts, ...changes };
  Object.assign(own, {
    retryAttempts: 0,
    breaker: breakerOf(pool),
    failFast: true,
    allowExitOnIdle: true,
    enhanced: false,
  });
  own.connectionTimeoutMillis = Math.min(
    Number(own.connectionTimeoutMillis) || CONNECT_MILLIS,
    CONNECT_MILLIS,
  );
  own.acquireTimeoutMillis = undefined;
  own.isTier = undefined;
  own.budget = undefined;
  if (parts.password === undefined && pool.options.password !== undefined)
    hide(own, 'password', pool.options.password);
  return new PoolClass(own, pool.Client);
}

/** A replica that is away needs no breaker, for the primary serves. One that stops everybody stops replicas, too. */
function breakerOf({ options }) {
  const { mode } = breakerSettings(options.breaker);
  return mode === 'forced-open' ? mode : 'off';
}

/** A position of the log, `16/B374D848`, as a number. */
function numberOf(position) {
  const [high, low] = position.split('/').map((part) => BigInt(`0x${part}`));
  return (high << 32n) | low;
}

module.exports = { Replicas, queryReplica };
