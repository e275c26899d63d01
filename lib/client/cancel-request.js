'use strict';

// Cancel request as pg's clients send it: on a connection of its own, without TLS, to the host of the client that
// asks. The server does not answer it; the query that is cancelled fails with 57014.

const net = require('node:net');

const CANCEL_REQUEST_BYTES = 16;
const CANCEL_REQUEST_CODE = 80877102;

/**
 * @param place `{ host, port }` of the server
 * @param onError told when the server cannot be reached
 */
function requestCancel({ host, port }, processID, secretKey, onError) {
  const message = Buffer.alloc(CANCEL_REQUEST_BYTES);
  message.writeInt32BE(CANCEL_REQUEST_BYTES, 0);
  message.writeInt32BE(CANCEL_REQUEST_CODE, 4);
  message.writeInt32BE(processID, 8);
  message.writeInt32BE(secretKey, 12);
  const place = host && host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port };
  const socket = net.connect(place, () => socket.end(message));
  socket.on('error', onError);
}

module.exports = { requestCancel };
