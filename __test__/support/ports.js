'use strict';

// Ports to listen on at a later moment, or again after a while in which nobody did. They lie below those that systems
// hand out by themselves, so no other socket gets one of them in the meantime.

const { randomInt } = require('node:crypto');
const net = require('node:net');
const { once } = require('node:events');

const HOST = '127.0.0.1';
const [FIRST, LAST] = [10_000, 32_000];

/** Has `listener` listen on `port`; without one, on a free port of the range. */
async function listen(listener, port) {
  for (;;) {
    listener.listen(port || randomInt(FIRST, LAST), HOST);
    try {
      await once(listener, 'listening');
      return;
    } catch (error) {
      // EACCES: Windows keeps some for itself.
      if (port || !['EADDRINUSE', 'EACCES'].includes(error.code)) throw error;
    }
  }
}

async function freePort() {
  const probe = net.createServer();
  await listen(probe);
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

module.exports = { listen, freePort };
