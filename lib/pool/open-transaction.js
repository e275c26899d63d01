'use strict';

// Transactions that are still open when a lease ends, or after a statement of the pool. An enhanced pool rolls them
// back; a plain pool leaves them to whoever gets the connection next, as under pg. That is seldom meant: the process
// is warned, once.

let isWarned = false;

/** Whether a transaction that is left open stays open. The core decides so by the same option. */
function keepsTransactions(pool) {
  return !pool.options.enhanced;
}

/** @param {string|null|undefined} status as `getTransactionStatus` has it */
function isOpen(status) {
  return status === 'T' || status === 'E';
}

/** A connection goes back to its pool with this transaction status. */
function noteOpenTransaction(pool, status) {
  if (isWarned || !isOpen(status) || !keepsTransactions(pool)) return;
  isWarned = true;
  process.emitWarning(
    'A connection went back to its pool inside a transaction, which stays open for whoever gets the connection next. ' +
      'Run a transaction on one client from BEGIN to COMMIT, or by `pool.transaction()`.',
    { code: 'PGPOOL_OPEN_TRANSACTION' },
  );
}

module.exports = { isOpen, keepsTransactions, noteOpenTransaction };
