'use strict';

// Private members of pg-pool's Pool that libraries and tools use.

const { EventEmitter } = require('node:events');
const { clientOf } = require('./clients');
const { moveTo } = require('../client/session-state');
const { bridge } = require('../native/bridge');
const { returnToCore } = require('./return-to-core');

const { on, removeListener } = EventEmitter.prototype;

const MEMBERS = {
  get _clients() {
    this._everyConnectionHasClient = true;
    const clients = connectionsOf(this).map((connection) => clientOf(this, connection));
    for (const { client } of this._delegate.customConnects.values()) clients.push(client);
    if (this.totalCount > clients.length && this._template !== null) clients.push(this._template);
    return clients;
  },

  get _idle() {
    const idle = connectionsOf(this)
      .filter((connection) => !connection.leased)
      .slice(0, this.idleCount);
    return idle.map((connection) => ({ client: clientOf(this, connection) }));
  },

  get _pendingQueue() {
    return new Array(this.waitingCount).fill(undefined);
  },

  _isFull() {
    return this.totalCount >= this.options.max;
  },

  _isAboveMin() {
    return this.totalCount > this.options.min;
  },

  // Closes the connection of a client, whoever has it.
  _remove(client, callback) {
    const connection = client._handle;
    moveTo(client, 'ending');
    const onRemove = (removed) => {
      if (removed !== client) return;
      removeListener.call(this, 'remove', onRemove);
      if (typeof callback === 'function') callback();
    };
    on.call(this, 'remove', onRemove);
    if (connection.leased) returnToCore(this, connection, true);
    else this._native.closeConnection(connection.id);
  },
};

function connectionsOf(pool) {
  return pool._native === null ? [] : bridge().connectionsOf(pool._delegate);
}

/** Gives the prototype of our Pool pg-pool's private members. */
function addPgPoolMembers(prototype) {
  for (const [name, member] of Object.entries(Object.getOwnPropertyDescriptors(MEMBERS))) {
    Object.defineProperty(prototype, name, { ...member, enumerable: false });
  }
}

module.exports = { addPgPoolMembers };
