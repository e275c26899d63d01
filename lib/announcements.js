'use strict';

// What the server says by itself - notices, notifications, changed parameters - as the events of a
// client and of its `connection`.

const { noticeFromNative } = require('./errors');

/** @param told an EVENT record: `{ event, ... }` */
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

/** The parameters of a new session, as if they came one by one. */
function announceParameters(client, parameters) {
  for (const name of Object.keys(parameters)) parameterStatus(client, name, parameters[name]);
}

function both(client, name, message) {
  client.connection.emit(name, message);
  client.emit(name, message);
}

// As pg, with the bytes of the message on the wire: its length field and two ended strings.
function parameterStatus(client, parameterName, parameterValue) {
  const length = 4 + Buffer.byteLength(parameterName) + Buffer.byteLength(parameterValue) + 2;
  client.connection.emit('parameterStatus', { name: 'parameterStatus', length, parameterName, parameterValue });
}

module.exports = { announce, announceParameters };
