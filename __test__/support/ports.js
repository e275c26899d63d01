'use strict';

// Ports to listen on at a later moment, or again after a while in which nobody did, and ports on which nobody ever
// listens. They lie below those that systems hand out by themselves, so no other socket gets one of them in the
// meantime, and in two ranges, so no server of another test comes up on a port that has to refuse.

const { randomInt } = require('node:crypto');
const net = require('node:net');
const { once } = require('node:events');

const HOST = '127.0.0.1';
const LISTENING = [10_000, 28_000];
const CLOSED = [28_000, 32_000];

/** Has `listener` listen on `port`; without one, on a free port of `range`. */
async function listen(listener, port, range = LISTENING) {
  for (;;) {
    listener.listen(port || randomInt(...range), HOST);
    try {
      await once(listener, 'listening');
      return;
    } catch (error) {
      // EACCES: Windows keeps some for itself.
      if (port || !['EADDRINUSE', 'EACCES'].includes(error.code)) throw error;
    }
  }
}

/** A port to listen on later. */
const freePort = () => unusedPort(LISTENING);

/** A port that refuses every connection, for as long as the test likes. */
const closedPort = () => unusedPort(CLOSED);

async function unusedPort(range) {
  const probe = net.createServer();
  await listen(probe, undefined, range);
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

module.exports = { listen, freePort, closedPort };
