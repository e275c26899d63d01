'use strict';

// The errors of a transaction that are its function's own doing, each with its code.

const ERRORS = {
  ended: { code: 'TRANSACTION_ENDED', message: 'the transaction was ended by its own function' },
  late: { code: 'DEADLINE_EXCEEDED', message: 'the deadline of the transaction has passed' },
  rolledBack: {
    code: 'TRANSACTION_ROLLED_BACK',
    message: 'the transaction was rolled back: COMMIT was answered by ROLLBACK',
  },
  nestedRolledBack: {
    code: 'TRANSACTION_ROLLED_BACK',
    message: 'the nested transaction was rolled back: an error inside it was not passed on',
  },
  nestedIsOpen: {
    code: 'NESTED_TRANSACTION_OPEN',
    message: 'a nested transaction of this client is open: await it first, or use its client',
  },
  notAwaited: {
    code: 'NESTED_TRANSACTION_NOT_AWAITED',
    message: 'a nested transaction was still open at the end of the one around it',
  },
  nestedIsOver: { code: 'NESTED_TRANSACTION_OVER', message: 'the nested transaction is over' },
};

/** The error of this name. */
function transactionError(/** @type {keyof typeof ERRORS} */ name) {
  const { code, message } = ERRORS[name];
  return Object.assign(new Error(message), { code });
}

module.exports = { transactionError };
