'use strict';

// Cancel request as pg's clients send it: on a connection of its own to where the asking client leads. It carries the
// key of the session, so it is encrypted and checked as the client's connections are. The server does not answer it;
// the query that it meets fails with 57014.

const Connection = require('../connection');

/**
 * @param client the asking client: `host`, `port`, `ssl`, `sslNegotiation` lead to the server
 * @param onError told when the server cannot be reached, or is not who it should be
 */
function requestCancel({ host, port, ssl, sslNegotiation }, processID, secretKey, onError) {
  const connection = new Connection({ ssl, sslNegotiation });
  const send = () => {
    connection.cancel(processID, secretKey);
    connection.stream.end();
  };
  connection.on('error', onError);
  connection.once('sslconnect', send);
  connection.once('connect', () => {
    if (!ssl) send();
    else if (sslNegotiation !== 'direct') connection.requestSsl();
  });
  if (host?.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
  else connection.connect(port, host);
}

module.exports = { requestCancel };
