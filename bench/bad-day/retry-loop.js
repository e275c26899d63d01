'use strict';

// The retry loop that an application writes around plain pg: three more attempts after 1, 2 and 4 s for
// errors of the connection. A read runs again whatever happened to it, an insert only when it was not sent.

const { sleep } = require('./clock');

const MORE_ATTEMPTS = 3;
const BASE_DELAY = 1000;

const NOT_SENT = [
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'EMFILE',
  '57P03',
  '53300',
];
const CONNECTION_LOST = ['ECONNRESET', 'ETIMEDOUT', 'EPIPE', '57P01', '57P02', '08006', '08P01'];

function wasNotSent({ code, message }) {
  return (
    NOT_SENT.includes(code) ||
    /timeout exceeded when trying to connect|due to connection timeout/.test(message)
  );
}

function isConnectionError(error) {
  const { code, message } = error;
  return (
    wasNotSent(error) || CONNECTION_LOST.includes(code) || /Connection terminated|read timeout/.test(message)
  );
}

async function withRetry(work, mayRunAgain) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === MORE_ATTEMPTS || !mayRunAgain(error)) throw error;
      await sleep(BASE_DELAY * 2 ** attempt);
    }
  }
}

module.exports = { withRetry, isConnectionError, wasNotSent };
