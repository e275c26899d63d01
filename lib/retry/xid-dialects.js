'use strict';

// The SQL of commit-outcome.js: what identifies an open transaction, and what a server knows of it afterwards. Servers
// differ in the functions they have and allow; the dialect of a pool's servers is detected once.

const { DatabaseError } = require('../errors');
const { isUsable } = require('../client/session-state');
const { own } = require('../statement/statement');

const ADDRESS = "pg_catalog.concat(pg_catalog.inet_server_addr(), ':', pg_catalog.inet_server_port())";
const START = 'pg_catalog.pg_postmaster_start_time()';
// The end of the last recovery; null where the server was started after a clean shutdown.
const RECOVERED = 'pg_catalog.pg_last_wal_replay_lsn()';
const IN_RECOVERY = 'pg_catalog.pg_is_in_recovery()';
const POSITION = 'pg_catalog.pg_current_wal_insert_lsn()';
// The same for a server and its standbys.
const SYSTEM = '(SELECT system_identifier FROM pg_catalog.pg_control_system())';
// Each promotion begins another one. The name of a file of the log begins with it, in hexadecimal.
const TIMELINE = `pg_catalog.substr(pg_catalog.pg_walfile_name(${POSITION}), 1, 8)`;

const epoch = (time) => `pg_catalog.date_part('epoch', ${time})`;

// Columns before COMMIT, and the columns of the question: $1 the id, $2 the position, $3 the clock.
const EVERY = {
  before: { address: ADDRESS, start: `${START}::text` },
  after: { address: ADDRESS, start: `${START}::text`, in_recovery: IN_RECOVERY },
};
const LOG = {
  before: { recovered: `${RECOVERED}::text`, position: `${POSITION}::text` },
  after: { recovered: `${RECOVERED}::text`, is_beyond: `${RECOVERED} < $2::text::pg_catalog.pg_lsn` },
};
const NO_LOG = {
  before: { recovered: 'NULL', position: 'NULL' },
  after: { recovered: 'NULL', is_beyond: '$2::text IS NULL AND false' },
};
const TIMELINES = {
  before: {
    system: `${SYSTEM}::text`,
    timeline: TIMELINE,
    clock: `${epoch('pg_catalog.clock_timestamp()')}::text`,
  },
  after: {
    system: `${SYSTEM}::text`,
    timeline: `CASE WHEN NOT ${IN_RECOVERY} THEN ${TIMELINE} END`,
    is_older: `${epoch(START)} < $3::text::pg_catalog.float8`,
  },
};
const NO_TIMELINES = {
  before: { system: 'NULL', timeline: 'NULL', clock: 'NULL' },
  after: { system: 'NULL', timeline: 'NULL', is_older: '$3::text IS NULL AND false' },
};

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

/** `identity`: the columns before COMMIT; `question`: those afterwards, with `status`. */
function dialect({ since, id, type, status, next }, ...parts) {
  const given = `$1::text::${type}`;
  // The functions of the log that writes fail on a standby, where no transaction has an id.
  const identity = { xid: `${id}::text` };
  for (const { before } of parts) {
    for (const [name, column] of Object.entries(before))
      identity[name] = `CASE WHEN ${id} IS NOT NULL THEN ${column} END`;
  }
  // To ask for an id beyond the next one would be an error.
  const question = { status: `CASE WHEN ${given} < ${next} THEN ${status}(${given}) ELSE 'in progress' END` };
  return {
    since,
    identity: select(identity),
    question: select(Object.assign(question, ...parts.map(({ after }) => after))),
  };
}

function select(columns) {
  return `SELECT ${Object.entries(columns)
    .map(([name, column]) => `${column} AS ${name}`)
    .join(', ')}`;
}

// Dialects, the best first. Relatives of PostgreSQL lack some functions, others are forbidden to some users.
const XID_DIALECTS = [XID8, TXID].flatMap((functions) => [
  dialect(functions, EVERY, LOG, TIMELINES),
  dialect(functions, EVERY, LOG, NO_TIMELINES),
  dialect(functions, EVERY, NO_LOG, NO_TIMELINES),
]);

// Values as text, whatever parsers the application has set.
const TEXT = { getTypeParser: () => String };

// The dialect of each pool's servers; null: they know no transaction ids.
const dialects = new WeakMap();

/** Detects the dialect of a pool's servers, once, outside of a transaction. */
async function detectDialect(pool, client) {
  if (dialects.has(pool)) return;
  const version = parseInt(client._handle.info.parameters.server_version, 10);
  for (const candidate of XID_DIALECTS) {
    if (!(version >= candidate.since)) continue;
    try {
      await askRow(client, { text: candidate.identity });
      dialects.set(pool, candidate);
      return;
    } catch (error) {
      // An error that leaves the connection usable: the server lacks a function.
      if (!(error instanceof DatabaseError) || !isUsable(client)) throw error;
    }
  }
  dialects.set(pool, null);
}

/** The dialect that was detected; null or undefined: none. */
function dialectOf(pool) {
  return dialects.get(pool);
}

/** The only row of the answer to `query`, of a pool or a client. */
async function askRow(asked, query) {
  const { rows } = await asked.query(own({ ...query, types: TEXT }));
  return rows[0];
}

module.exports = { TEXT, askRow, detectDialect, dialectOf };
