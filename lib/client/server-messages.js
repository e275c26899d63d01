'use strict';

// Messages that the server sends by itself (of a login, notices, notifications, changed parameters), as events of a
// client and of its `connection`.

const { noticeFromNative } = require('../errors');

/** Emits the event of an EVENT record. */
function announce(client, { event, ...fields }) {
  switch (event) {
    case 'notice':
      both(client, 'notice', noticeFromNative(fields));
      return;
    case 'notification': {
      const { length, processId, channel, payload } = fields;
      both(client, 'notification', { length, processId, channel, payload, name: 'notification' });
      return;
    }
    case 'parameterStatus':
      parameterStatus(client, fields.parameterName, fields.parameterValue);
      return;
    default:
  }
}

/** Emits a step of the login, under its name in pg: `connect`, `sslconnect` or the server's message. */
function announceLogin(client, { mechanism, ...message }) {
  const { connection } = client;
  switch (message.name) {
    case 'connect':
    case 'sslconnect':
      connection.emit(message.name);
      return;
    case 'authenticationMD5Password':
      message.salt = Buffer.from(message.salt);
      break;
    case 'authenticationSASL':
      client.saslSession = { mechanism, message: 'SASLInitialResponse' };
      break;
    case 'authenticationSASLContinue':
      client.saslSession.message = 'SASLResponse';
      break;
    case 'authenticationSASLFinal':
      client.saslSession = null;
      break;
    default:
  }
  connection.relay(message);
}

/** Emits the parameters and the key of a new session, one by one as under pg. */
function announceSession(client, { parameters = {}, processID, secretKey }) {
  for (const name of Object.keys(parameters)) parameterStatus(client, name, parameters[name]);
  // A server may have sent none.
  if (processID !== null)
    client.connection.relay({ name: 'backendKeyData', length: 12, processID, secretKey });
}

function both(client, name, message) {
  client.connection.relay(message);
  client.emit(name, message);
}

// The length is that of the message on the wire, as under pg: its length field and two terminated strings.
function parameterStatus(client, parameterName, parameterValue) {
  const length = 4 + Buffer.byteLength(parameterName) + Buffer.byteLength(parameterValue) + 2;
  client.connection.relay({ name: 'parameterStatus', length, parameterName, parameterValue });
}

module.exports = { announce, announceLogin, announceSession };
