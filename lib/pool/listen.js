'use strict';

// `pool.listen`: subscriptions to the channels of NOTIFY. All of a pool share one connection (listen-connection.js). A
// subscription hears of its channel from the moment `listen` resolves until it is closed.

const { ListenConnection } = require('./listen-connection');
const { inContext } = require('../async/callback-context');

const HEARTBEAT_MILLIS = 15_000;
const MAX_MILLIS = 0x7fffffff;
// The server cuts longer names of a LISTEN, and refuses them in pg_notify.
const LONGEST_CHANNEL = 63;

class Subscription {
  #listeners;
  #handler;
  #onGap;
  // Opened once the server has been told, closed once.
  #state = 'new';

  constructor(listeners, channel, handler, onGap) {
    this.channel = channel;
    this.#listeners = listeners;
    this.#handler = inContext(handler);
    this.#onGap = inContext(onGap ?? (() => {}));
  }

  notify(message) {
    if (this.#state !== 'closed') this.#handler(message);
  }

  /** One that is not open yet has missed nothing. */
  missed(gap) {
    if (this.#state === 'open') this.#onGap({ channel: this.channel, ...gap });
  }

  /** The server has been told. False: it was closed meanwhile. */
  open() {
    if (this.#state === 'closed') return false;
    this.#state = 'open';
    return true;
  }

  cut() {
    this.#state = 'closed';
  }

  /** Ends it; nothing is handed over from now on. Resolves when the server knows. */
  async close() {
    this.cut();
    await this.#listeners.remove(this);
  }
}
if (Symbol.asyncDispose)
  Object.defineProperty(Subscription.prototype, Symbol.asyncDispose, {
    configurable: true,
    writable: true,
    value() {
      return this.close();
    },
  });

/** The subscriptions of a pool. */
class Listeners {
  constructor(pool) {
    this.pool = pool;
    this.channels = new Map();
    this.connection = null;
  }

  /** @param {{ onGap?: Function, heartbeatMillis?: number }} options */
  async add(channel, handler, options = {}) {
    const { onGap, heartbeatMillis = HEARTBEAT_MILLIS } = options ?? {};
    checkChannel(channel);
    checkFunction('the handler of a channel', handler);
    if (onGap !== undefined && onGap !== null) checkFunction('onGap', onGap);
    if (!(heartbeatMillis >= 1 && heartbeatMillis <= MAX_MILLIS))
      throw new TypeError(`heartbeatMillis must be a number from 1 to ${MAX_MILLIS}`);
    const subscription = new Subscription(this, channel, handler, onGap);
    const known = this.channels.get(channel);
    const subscriptions = known ?? new Set();
    this.channels.set(channel, subscriptions.add(subscription));
    this.connection ??= new ListenConnection(this.pool, this.channels, heartbeatMillis);
    this.connection.beatEvery(heartbeatMillis);
    try {
      // Also for a channel that is known: its first LISTEN may not be answered yet. A second one does no harm.
      await this.connection.listen(channel);
    } catch (error) {
      await subscription.close();
      throw error;
    }
    if (!subscription.open()) throw new Error('the pool no longer listens');
    return subscription;
  }

  async remove(subscription) {
    const { channel } = subscription;
    const subscriptions = this.channels.get(channel);
    if (!subscriptions?.delete(subscription) || subscriptions.size > 0) return;
    this.channels.delete(channel);
    if (this.channels.size === 0) await this.end();
    else await this.connection?.unlisten(channel);
  }

  /** Closes the connection. The next subscription opens another one. */
  async end() {
    const { connection } = this;
    this.connection = null;
    await connection?.end();
  }

  /** Closes all. */
  async endAll() {
    for (const subscriptions of this.channels.values())
      for (const subscription of subscriptions) subscription.cut();
    this.channels.clear();
    await this.end();
  }
}

function checkChannel(channel) {
  if (typeof channel !== 'string' || channel === '' || channel.includes('\0'))
    throw new TypeError('a channel is a name');
  if (Buffer.byteLength(channel) > LONGEST_CHANNEL)
    throw new TypeError(`the name of a channel has ${LONGEST_CHANNEL} bytes at most`);
}

function checkFunction(what, given) {
  if (typeof given !== 'function') throw new TypeError(`${what} must be a function`);
}

module.exports = { Listeners };
