'use strict';

// Early release: the client was released before its submittables (cursor, query stream, COPY) had ended. The lease
// lasts until they have, and for a second at most: then the connection is closed and they fail.

const { moveTo } = require('../client/session-state');
const { released } = require('../client/submittable');
const leakDetection = require('../monitor/leak-detection');
const { clearTimeout, setTimeout } = require('../async/timers');
const { returnToCore } = require('./return-to-core');

const MAX_MILLIS = 1000;

class EarlyRelease {
  constructor(pool, connection) {
    this.pool = pool;
    this.connection = connection;
    this.timer = undefined;
  }

  begin() {
    const { pool, connection } = this;
    const { client } = connection;
    leakDetection.checkedIn(pool, connection);
    pool._earlyReleases.add(this);
    client._earlyRelease = this;
    this.timer = setTimeout(() => this.close(), MAX_MILLIS);
    this.timer.unref();
    const canEnd = client._requests.submittables.map((submittable) => submittable.abandon());
    if (canEnd.includes(false)) this.close();
  }

  /** From a submittable: it has returned the connection. */
  submittableDone() {
    if (this.connection.client._requests.submittables.length === 0) this.end(false);
  }

  /** Closes the connection; then what is still open fails. */
  close() {
    const { client } = this.connection;
    moveTo(client, 'ending');
    for (const submittable of client._requests.submittables) submittable.failure = released();
    this.end(true);
  }

  /** Ends the lease; the connection may have been lost. */
  end(destroy) {
    const { pool, connection } = this;
    clearTimeout(this.timer);
    pool._earlyReleases.delete(this);
    connection.client._earlyRelease = null;
    returnToCore(pool, connection, destroy);
  }
}

module.exports = { EarlyRelease };
