'use strict';

// Answers LOOKUP: resolves a host for the core by the application's own `dns.lookup`, called as Node's sockets call it.

const dns = require('node:dns');
const { natureOf } = require('./node-socket');

const HINTS = process.platform === 'win32' ? 0 : dns.ADDRCONFIG;

/**
 * @param native pool that asks, under the number `id`
 * @param keep keeps an error; returns what the core gets in its place
 */
function answerLookup(native, id, host, keep) {
  const fail = (error) => native.lookedUp(id, [], { ...keep(error), ...natureOf(error) });
  try {
    dns.lookup(host, { family: undefined, hints: HINTS, all: true }, (error, found) => {
      if (error) fail(error);
      else native.lookedUp(id, addressesOf(found));
    });
  } catch (error) {
    fail(error);
  }
}

// A function that knows no `all` gives the only address as text.
function addressesOf(found) {
  return [found].flat().map((one) => String(one?.address ?? one));
}

module.exports = { answerLookup };
