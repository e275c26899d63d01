'use strict';

// The transaction status in records DONE, FAIL and LEASED: a byte of the wire.

/** As pg shows it; undefined: the record leaves it open. */
function transactionStatus(byte) {
  return byte ? String.fromCharCode(byte) : undefined;
}

module.exports = { transactionStatus };
