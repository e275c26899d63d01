'use strict';

// The outcome of a COMMIT whose answer was lost. The transaction's id is read before COMMIT, its status afterwards on
// another connection. An id alone proves nothing: two servers give the same id to two transactions, and so does one
// server that has lost the end of its log in a crash. The proof is the log: how far it went before COMMIT, and whether
// that of the server that answers holds it so far.

const { DatabaseError } = require('../errors');
const { monotonicNow } = require('../async/timers');
const { STAGES } = require('../native/layout');
const { own } = require('../statement/statement');
const { isFatal } = require('./terms');
const { TEXT, askRow, dialectOf } = require('./xid-dialects');

// The time to ask where the transaction has no deadline: about what a server takes to restart.
const DEFAULT_ASKING_MILLIS = 30_000;
// One question has at least so long, however little is left.
const MIN_QUESTION_MILLIS = 1000;

/** The open transaction: `xid` null when it has no id, undefined when its server has none. */
async function transactionId(pool, client) {
  const dialect = dialectOf(pool);
  if (!dialect) return { xid: undefined };
  return { ...(await askRow(client, { text: dialect.identity })), dialect };
}

/** The same question, to be asked together with others: its config, and what its answer says. */
function identityQuery(pool) {
  const dialect = dialectOf(pool);
  if (!dialect) return undefined;
  return {
    config: own({ text: dialect.identity, types: TEXT }),
    read: ({ rows: [row] }) => ({ ...row, dialect }),
  };
}

/** The outcome: 'committed', 'aborted' or 'unknown'. */
async function commitOutcome(transaction, commit) {
  const { xid, position, clock, dialect } = commit;
  if (transaction.readOnly) return 'aborted';
  // No id proves nothing: writes through dblink and to foreign tables take none.
  if (xid === null || xid === undefined) return 'unknown';
  const until = transaction.until ?? monotonicNow() + DEFAULT_ASKING_MILLIS;
  const left = () => Math.max(0, Math.round(until - monotonicNow()));
  for (let asked = 0; ; asked++) {
    let failure;
    try {
      const answer = await askRow(transaction.pool, {
        text: dialect.question,
        values: [xid, position, clock],
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

/** The outcome by one answer; undefined: nobody can say yet, ask again. */
function outcomeOf(answer, commit) {
  // A standby may yet get the rest of the log, or be promoted.
  if (answer.in_recovery === 't') return undefined;
  const isSame =
    answer.address === commit.address &&
    answer.system === commit.system &&
    answer.timeline === commit.timeline;
  const isSuccessor = !isSame && hasSucceeded(answer, commit);
  if (!isSame && !isSuccessor) return 'unknown';
  const hasRecovered = isSuccessor || answer.recovered !== commit.recovered || answer.start !== commit.start;
  // The COMMIT lies beyond the end of what the server has recovered.
  if (hasRecovered && answer.is_beyond === 't') return 'aborted';
  switch (answer.status) {
    case 'aborted':
      return 'aborted';
    case 'committed':
      // A restarted server without a log may have forgotten the transaction and given its id to another.
      return hasRecovered && commit.position === null ? 'unknown' : 'committed';
    case 'in progress':
      return undefined;
    default:
      // The server keeps no status of a transaction that is too old.
      return 'unknown';
  }
}

/**
 * Whether the server was a standby of the first one and was promoted. `recovered` is then how far it had got that one's
 * log, unless it was started anew since: so it must have been up before the COMMIT.
 */
function hasSucceeded(answer, commit) {
  return (
    commit.system !== null &&
    answer.system === commit.system &&
    parseInt(answer.timeline, 16) === parseInt(commit.timeline, 16) + 1 &&
    answer.is_older === 't'
  );
}

module.exports = { commitOutcome, identityQuery, transactionId };
