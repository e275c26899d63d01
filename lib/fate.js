'use strict';

// What became of a COMMIT whose answer was lost: the transaction's id is asked for before COMMIT, its status
// afterwards on another connection. The server's address goes along: after a failover another server may
// have given the same id to another transaction.

const { performance } = require('node:perf_hooks');
const { DatabaseError } = require('./errors');

// How long to ask where no deadline says so: about the time that a server takes to restart.
const PATIENCE_MILLIS = 30_000;
const LEAST_MILLIS = 1000;

const ADDRESS = "pg_catalog.concat(pg_catalog.inet_server_addr(), ':', pg_catalog.inet_server_port())";

// By the oldest version that knows it.
const DIALECTS = [
  { since: 13, id: 'pg_catalog.pg_current_xact_id_if_assigned()', status: 'pg_catalog.pg_xact_status($1::text::pg_catalog.xid8)' },
  { since: 10, id: 'pg_catalog.txid_current_if_assigned()', status: 'pg_catalog.txid_status($1::text::bigint)' },
];

/** The id of the transaction that is open on the client: `xid` null when it has written nothing. */
async function identify(client) {
  const dialect = dialectOf(client);
  if (dialect === undefined) return { xid: undefined };
  const { rows } = await client.query({
    text: `SELECT ${dialect.id}::text, ${ADDRESS}`,
    rowMode: 'array',
    types: TEXT,
  });
  const [xid, server] = rows[0];
  return { xid, server, dialect };
}

// As text, whatever parsers the application has set.
const TEXT = { getTypeParser: () => String };

function dialectOf(client) {
  const version = parseInt(client._link.info.parameters.server_version, 10);
  return DIALECTS.find(({ since }) => version >= since);
}

/** 'committed', 'aborted' or 'unknown'. */
async function fateOf(transaction, { xid, server, dialect }) {
  // It has written nothing, so nothing can be doubled.
  if (transaction.readOnly || xid === null) return 'aborted';
  if (xid === undefined) return 'unknown';
  const until = transaction.until ?? performance.now() + PATIENCE_MILLIS;
  const left = () => Math.max(0, Math.round(until - performance.now()));
  for (let asked = 0; ; asked++) {
    let code;
    try {
      const { rows } = await transaction.pool.query({
        text: `SELECT ${dialect.status}, ${ADDRESS}`,
        values: [xid],
        rowMode: 'array',
        types: TEXT,
        readOnly: true,
        deadline: Math.max(left(), LEAST_MILLIS),
      });
      const [status, address] = rows[0];
      if (status === 'aborted') return 'aborted';
      if (status === 'committed') return address === server ? 'committed' : 'unknown';
      // Too long ago for the server to know.
      if (status === null) return 'unknown';
    } catch (error) {
      if (error instanceof DatabaseError) code = error.code;
    }
    const refusal = await transaction.verdict({ stage: 'asking', code, retries: asked, remaining: left() });
    if (refusal !== undefined) return 'unknown';
  }
}

module.exports = { identify, fateOf };
