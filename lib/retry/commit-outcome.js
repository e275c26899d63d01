'use strict';

// What became of a COMMIT whose answer was lost: the transaction's id is asked for before COMMIT, its status
// afterwards on another connection. The server's address goes along: after a failover another server may
// have given the same id to another transaction.
//
// So may the same server. In a crash it loses what it had not written to disk, forgets the ids in it, and
// gives them out again. Hence the end of the log before COMMIT goes along, too: after a crash the server
// tells how far it could read its log, and what lies beyond never happened.

const { performance } = require('node:perf_hooks');
const { DatabaseError } = require('../errors');
const { isGone } = require('./terms');

// How long to ask where no deadline says so: about the time that a server takes to restart.
const PATIENCE_MILLIS = 30_000;
const LEAST_MILLIS = 1000;

const ADDRESS = "pg_catalog.concat(pg_catalog.inet_server_addr(), ':', pg_catalog.inet_server_port())";
const START = 'pg_catalog.pg_postmaster_start_time()::text';
// Where the last recovery ended; null when the server was started after it had been stopped in order.
const RECOVERED = 'pg_catalog.pg_last_wal_replay_lsn()';
const STANDS_BY = 'pg_catalog.pg_is_in_recovery()';

/** The statements of one kind of server. An id that no transaction has had yet is none to ask the status of. */
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
        ? `${RECOVERED}::text, NOT ${STANDS_BY} AND ${RECOVERED} < $2::text::pg_catalog.pg_lsn`
        : 'NULL, $2::text IS NULL AND false'
    }`,
  };
}

const NEW = {
  since: 13,
  id: 'pg_catalog.pg_current_xact_id_if_assigned()',
  type: 'pg_catalog.xid8',
  status: 'pg_catalog.pg_xact_status',
  next: 'pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())',
};
const OLD = {
  since: 10,
  id: 'pg_catalog.txid_current_if_assigned()',
  type: 'bigint',
  status: 'pg_catalog.txid_status',
  next: 'pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())',
};
// The best first. Relatives of PostgreSQL may have no log to speak of.
const DIALECTS = [NEW, OLD].flatMap((words) => [
  dialect({ ...words, hasLog: true }),
  dialect({ ...words, hasLog: false }),
]);

// As text, whatever parsers the application has set.
const TEXT = { getTypeParser: () => String };

// By pool; null: its servers know no ids.
const known = new WeakMap();

/** Finds out, once for each pool and outside of a transaction, what its servers understand. */
async function learn(pool, client) {
  if (known.has(pool)) return;
  const version = parseInt(client._link.info.parameters.server_version, 10);
  for (const one of DIALECTS) {
    if (!(version >= one.since)) continue;
    try {
      await ask(client, { text: one.identity });
      known.set(pool, one);
      return;
    } catch (error) {
      // What the server refuses and lives on after, it does not understand.
      if (!(error instanceof DatabaseError) || isGone(client)) throw error;
    }
  }
  known.set(pool, null);
}

async function ask(asked, query) {
  const { rows } = await asked.query({ ...query, rowMode: 'array', types: TEXT });
  return rows[0];
}

/** The id of the transaction that is open on the client: `xid` null when it has written nothing. */
async function identify(pool, client) {
  const dialect = known.get(pool);
  if (!dialect) return { xid: undefined };
  const [xid, server, start, recovered, position] = await ask(client, { text: dialect.identity });
  return { xid, server, start, recovered, position, dialect };
}

/** 'committed', 'aborted' or 'unknown'. */
async function fateOf(transaction, commit) {
  const { xid, position, dialect } = commit;
  // It has written nothing, so nothing can be doubled.
  if (transaction.readOnly || xid === null) return 'aborted';
  if (xid === undefined) return 'unknown';
  const until = transaction.until ?? performance.now() + PATIENCE_MILLIS;
  const left = () => Math.max(0, Math.round(until - performance.now()));
  for (let asked = 0; ; asked++) {
    let code;
    try {
      const answer = await ask(transaction.pool, {
        text: dialect.question,
        values: [xid, position],
        readOnly: true,
        deadline: Math.max(left(), LEAST_MILLIS),
      });
      const fate = read(answer, commit);
      if (fate !== undefined) return fate;
    } catch (error) {
      if (error instanceof DatabaseError) code = error.code;
    }
    const refusal = await transaction.verdict({ stage: 'asking', code, retries: asked, remaining: left() });
    if (refusal !== undefined) return 'unknown';
  }
}

/** What the answer says; undefined: it is to be asked again. */
function read([status, address, start, recovered, isBeyond], commit) {
  const isSame = address === commit.server;
  const hasRecovered = recovered !== commit.recovered || start !== commit.start;
  // Its COMMIT would lie beyond the end of what the server could recover.
  if (isSame && hasRecovered && isBeyond === 't') return 'aborted';
  if (status === 'aborted') return 'aborted';
  // Without a log nobody knows what a server that was started anew has forgotten.
  const isTold = isSame && (!hasRecovered || commit.position !== null);
  if (status === 'committed') return isTold ? 'committed' : 'unknown';
  // Too long ago for the server to know.
  return status === null ? 'unknown' : undefined;
}

module.exports = { learn, identify, fateOf };
