'use strict';

// What a fault acts on: a fresh server, often a proxy before it, and whatever else a row has set up. Everything is
// taken down in reverse order, also after a failure.

const path = require('node:path');
const { startPostgres } = require('../../__test__/support/postgres');
const { Proxy } = require('../../__test__/support/proxy');
const { CREATE } = require('./ledger');

class Stage {
  /** Where contenders connect, see contenders.js. */
  place = null;
  /** The server whose table counts at the end. */
  server = null;
  /** The proxy before it, if there is one. */
  front = null;
  /** Whether the row has a network of its own. */
  isIsolated;
  #undo = [];

  constructor({ isIsolated = false } = {}) {
    this.isIsolated = isIsolated;
  }

  /** `step` is taken when the stage comes down. */
  later(step) {
    this.#undo.push(step);
  }

  async startServer(options) {
    const server = await startPostgres({ tls: false, ...options });
    // Its files are removed whatever state a fault left it in.
    this.later(() => server.stop('immediate'));
    return server;
  }

  placeAt(...hosts) {
    const { user, password } = this.server.users.scram_user;
    const { database } = this.server;
    this.place = { hosts: hosts.map(({ host, port }) => ({ host, port })), user, password, database };
  }

  query(text, values) {
    return this.server.query(text, values);
  }

  async close() {
    for (const step of this.#undo.splice(0).reverse()) await step();
  }
}

/** One server; contenders connect to it. */
const directly = (settings) => async (stage) => {
  stage.server = await stage.startServer({ settings });
  await stage.query(CREATE);
  stage.placeAt(stage.server);
};

/** One server behind a proxy, which contenders take for the server. */
const throughProxy = (settings) => async (stage) => {
  await directly(settings)(stage);
  const { socketDir, host, port } = stage.server;
  // Through the unix socket, where there is one, so that the proxy's own connects are not counted.
  const socket = path.join(socketDir, `.s.PGSQL.${port}`);
  stage.front = await Proxy.start(process.platform === 'win32' ? { host, port } : { path: socket });
  stage.later(() => stage.front.stop());
  stage.placeAt(stage.front);
};

module.exports = { Stage, directly, throughProxy };
