'use strict';

// The outcome of a COMMIT whose answer was lost. The transaction's id is read before COMMIT, its status
// afterwards on another connection. An id alone proves nothing: after a failover another server may have
// given it to another transaction, hence the server's address is compared, too.
//
// A crashed server may also give an id out again: it loses what it had not written to disk, and forgets the
// ids in it. Hence the end of the log before COMMIT is kept as well: after a crash the server knows how far it
// could read its log, and what lies beyond never happened.

const { DatabaseError } = require('../errors');
const { isUsable } = require('../client/session-state');
const { monotonicNow } = require('../async/timers');
const { STAGES } = require('../native/layout');
const { isFatal } = require('./terms');

// The time to ask where the transaction has no deadline: about what a server takes to restart.
const DEFAULT_ASKING_MILLIS = 30_000;
// One question has at least so long, however little is left.
const MIN_QUESTION_MILLIS = 1000;

const ADDRESS = "pg_catalog.concat(pg_catalog.inet_server_addr(), ':', pg_catalog.inet_server_port())";
const START = 'pg_catalog.pg_postmaster_start_time()::text';
// The end of the last recovery; null where the server was started after a clean shutdown.
const RECOVERED = 'pg_catalog.pg_last_wal_replay_lsn()';
const IN_RECOVERY = 'pg_catalog.pg_is_in_recovery()';

/** The statements for one kind of server. To ask for an id beyond the next one would be an error. */
function dialect({ since, id, type, status, next, hasLog }) {
  const given = `$1::text::${type}`;
  return {
    since,
    identity: `SELECT ${id}::text, ${ADDRESS}, ${START}, ${
      hasLog
        ? `${RECOVERED}::text, CASE WHEN ${id} IS NOT NULL THEN pg_catalog.pg_current_wal_insert_lsn()::text END`
        : 'NULL, NULL'
    }`,
    question: `SELECT CASE WHEN ${given} < ${next} THEN ${status}(${given}) ELSE 'in progress' END, ${ADDRESS}, ${START}, ${
      hasLog
        ? `${RECOVERED}::text, NOT ${IN_RECOVERY} AND ${RECOVERED} < $2::text::pg_catalog.pg_lsn`
        : 'NULL, $2::text IS NULL AND false'
    }`,
  };
}

const XID8 = {
  since: 13,
  id: 'pg_catalog.pg_current_xact_id_if_assigned()',
  type: 'pg_catalog.xid8',
  status: 'pg_catalog.pg_xact_status',
  next: 'pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())',
};
const TXID = {
  since: 10,
  id: 'pg_catalog.txid_current_if_assigned()',
  type: 'bigint',
  status: 'pg_catalog.txid_status',
  next: 'pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())',
};
// Dialects, the best first. Relatives of PostgreSQL may lack the functions of its log.
const XID_DIALECTS = [XID8, TXID].flatMap((functions) => [
  dialect({ ...functions, hasLog: true }),
  dialect({ ...functions, hasLog: false }),
]);

// Values as text, whatever parsers the application has set.
const TEXT = { getTypeParser: () => String };

// The dialect of each pool's servers; null: they know no transaction ids.
const dialects = new WeakMap();

/** Detects the dialect of a pool's servers, once, outside of a transaction. */
async function detectDialect(pool, client) {
  if (dialects.has(pool)) return;
  const version = parseInt(client._link.info.parameters.server_version, 10);
  for (const candidate of XID_DIALECTS) {
    if (!(version >= candidate.since)) continue;
    try {
      await ask(client, { text: candidate.identity });
      dialects.set(pool, candidate);
      return;
    } catch (error) {
      // An error that leaves the connection usable: the server lacks a function.
      if (!(error instanceof DatabaseError) || !isUsable(client)) throw error;
    }
  }
  dialects.set(pool, null);
}

async function ask(asked, query) {
  const { rows } = await asked.query({ ...query, rowMode: 'array', types: TEXT });
  return rows[0];
}

/** The id of the open transaction: `xid` null when none was assigned, undefined when the server has no ids. */
async function transactionId(pool, client) {
  const dialect = dialects.get(pool);
  if (!dialect) return { xid: undefined };
  const [xid, server, start, recovered, position] = await ask(client, { text: dialect.identity });
  return { xid, server, start, recovered, position, dialect };
}

/** The outcome: 'committed', 'aborted' or 'unknown'. */
async function commitOutcome(transaction, commit) {
  const { xid, position, dialect } = commit;
  if (transaction.readOnly) return 'aborted';
  // No id proves nothing: writes through dblink and to foreign tables take none.
  if (xid === null || xid === undefined) return 'unknown';
  const until = transaction.until ?? monotonicNow() + DEFAULT_ASKING_MILLIS;
  const left = () => Math.max(0, Math.round(until - monotonicNow()));
  for (let asked = 0; ; asked++) {
    let failure;
    try {
      const answer = await ask(transaction.pool, {
        text: dialect.question,
        values: [xid, position],
        readOnly: true,
        deadline: Math.max(left(), MIN_QUESTION_MILLIS),
      });
      const outcome = outcomeOf(answer, commit);
      if (outcome !== undefined) return outcome;
    } catch (error) {
      // The refusal of an answer. After a fatal error another connection may bring one.
      if (error instanceof DatabaseError && !isFatal(error)) failure = error;
    }
    const decision = await transaction.decide({
      stage: STAGES.ASKING,
      error: failure,
      retries: asked,
      remaining: left(),
    });
    if (!decision.again) return 'unknown';
  }
}

/** The outcome by one answer; undefined: the transaction is in progress, ask again. */
function outcomeOf([status, address, start, recovered, isBeyond], commit) {
  const isSame = address === commit.server;
  const hasRecovered = recovered !== commit.recovered || start !== commit.start;
  // The COMMIT would lie beyond the end of what the server could recover.
  if (isSame && hasRecovered && isBeyond === 't') return 'aborted';
  if (status === 'aborted') return 'aborted';
  // A restarted server without a log may have forgotten the transaction.
  const isProven = isSame && (!hasRecovered || commit.position !== null);
  if (status === 'committed') return isProven ? 'committed' : 'unknown';
  // The server keeps no status of a transaction that is too old.
  return status === null ? 'unknown' : undefined;
}

module.exports = { commitOutcome, detectDialect, transactionId };
