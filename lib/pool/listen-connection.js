'use strict';

// The connection on which a pool listens, outside of its places: opened for the first subscription, closed after the
// last. It is opened anew when it is lost, for as long as anybody listens; an answer to its heartbeat that does not come
// in time is a loss, also before the server has been told all channels. Between a loss and the next LISTEN lies a gap, in
// which notifications were missed.

const { failWith } = require('../client/connection-loss');
const { hide } = require('../config/secrets');
const { escapeIdentifier } = require('../encode/escape');
const { captureContext, runIn } = require('../async/callback-context');
const { clearTimeout, monotonicNow, setTimeout } = require('../async/timers');

const BASE_DELAY_MILLIS = 100;
const MAX_DELAY_MILLIS = 10_000;
// A connect may take two heartbeats, and so long at least.
const LEAST_CONNECT_MILLIS = 5000;

class ListenConnection {
  /** @param subscriptions by channel, each a Set; the owner changes it, and says so by `listen` and `unlisten` */
  constructor(pool, subscriptions, heartbeatMillis) {
    this.pool = pool;
    this.subscriptions = subscriptions;
    this.heartbeatMillis = heartbeatMillis;
    // The client while it listens; null: between two connections.
    this.client = null;
    // The client that is being opened.
    this.opening = null;
    // The last of its statements, heartbeats left out: each is sent when the one before is answered.
    this.told = Promise.resolve();
    // Notifications that came before the gap was told.
    this.held = null;
    this.isOver = false;
    // The last moment at which the connection is known to have listened; undefined: never.
    this.heardAt = undefined;
    this.cause = undefined;
    this.waiting = [];
    this.timer = undefined;
    /** @type {(() => void)|undefined} */
    this.wake = undefined;
    this.context = captureContext();
    this.done = runIn(this.context, () => this.run());
  }

  /** Resolves once the server sends what is notified on `channel`; rejects with what the next attempt fails with. */
  listen(channel) {
    if (this.client !== null) return this.tell(this.client, 'LISTEN', channel);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve: () => resolve(undefined), reject });
    });
  }

  async unlisten(channel) {
    // What fails here fails with the connection.
    if (this.client !== null) await this.tell(this.client, 'UNLISTEN', channel).catch(ignore);
  }

  tell(client, command, channel) {
    const answer = this.told.then(() => client.query(`${command} ${escapeIdentifier(channel)}`));
    this.told = answer.catch(ignore);
    return answer;
  }

  /** Has the heartbeat come at least so often. */
  beatEvery(millis) {
    if (millis >= this.heartbeatMillis) return;
    this.heartbeatMillis = millis;
    if (this.client !== null) this.beat(this.client);
  }

  /** Closes it, at whatever point it is. Resolves when that is done. */
  async end() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.wake?.();
    const client = this.client ?? this.opening;
    if (client !== null) await client.end().catch(ignore);
    await this.done;
  }

  async run() {
    for (let failures = 0; !this.isOver; failures++) {
      try {
        const client = await this.open();
        const since = monotonicNow();
        await this.lost(client);
        // A server that takes connections and ends them is not asked ever faster.
        if (monotonicNow() - since > MAX_DELAY_MILLIS) failures = 0;
      } catch (error) {
        this.failed(error);
      }
      this.client = null;
      if (!this.isOver)
        await this.pause(Math.random() * Math.min(MAX_DELAY_MILLIS, BASE_DELAY_MILLIS * 2 ** failures));
    }
    this.failed(new Error('the pool no longer listens'));
  }

  /** Those of the pool, but that a connect has its time, and that the end does not wait for a pipeline. */
  options() {
    const { options } = this.pool;
    const connectionTimeoutMillis =
      options.connectionTimeoutMillis || Math.max(2 * this.heartbeatMillis, LEAST_CONNECT_MILLIS);
    const own = { ...options, connectionTimeoutMillis, pipeline: false };
    if (options.password !== undefined) hide(own, 'password', options.password);
    return own;
  }

  /** A new client that listens to every channel. */
  async open() {
    const client = new this.pool.Client(this.options());
    this.opening = client;
    this.held = [];
    client.on('error', (error) => (this.cause ??= error));
    client.on('notification', (message) => client === this.client && this.heard(message));
    try {
      await client.connect();
      const channels = [...this.subscriptions.keys()];
      // From here on the owner sends what is new by itself.
      this.client = client;
      this.told = Promise.resolve();
      this.beat(client);
      const { waiting } = this;
      this.waiting = [];
      try {
        for (const channel of channels)
          if (this.subscriptions.has(channel)) await this.tell(client, 'LISTEN', channel);
      } catch (error) {
        for (const { reject } of waiting) reject(error);
        throw error;
      }
      this.tellGap();
      for (const { resolve } of waiting) resolve();
      return client;
    } catch (error) {
      clearTimeout(this.timer);
      client.end().catch(ignore);
      throw error;
    } finally {
      this.opening = null;
    }
  }

  /** Resolves when the connection of `client` is no more. */
  async lost(client) {
    if (!client._ended) await new Promise((resolve) => client.once('end', resolve));
    clearTimeout(this.timer);
    if (!this.isOver) this.pool.log('listening was interrupted', this.cause);
  }

  /** An attempt has failed, and so have those who waited for it. */
  failed(error) {
    if (!this.isOver) this.cause ??= error;
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  pause(millis) {
    return new Promise((resolve) => {
      this.wake = () => resolve(undefined);
      this.timer = setTimeout(this.wake, millis);
    });
  }

  /** Asks the server for a sign of life after one interval; it has another one to answer. */
  beat(client) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (client !== this.client || client._ended) return;
      const late = () => failWith(client, new Error('the server has not answered in time'));
      this.timer = setTimeout(late, this.heartbeatMillis);
      const answered = () => {
        if (client !== this.client) return;
        if (this.held === null) this.alive();
        this.beat(client);
      };
      client.query('').then(answered, ignore);
    }, this.heartbeatMillis);
  }

  alive() {
    this.heardAt = { date: new Date(), at: monotonicNow() };
  }

  heard(message) {
    if (this.isOver) return;
    if (this.held !== null) {
      this.held.push(message);
      return;
    }
    this.alive();
    for (const subscription of [...(this.subscriptions.get(message.channel) ?? [])])
      subscription.notify(message);
  }

  /** It listens again. Tells since when it did not, and then what came meanwhile. */
  tellGap() {
    const before = this.heardAt;
    this.alive();
    const gap = before && { since: before.date, until: this.heardAt.date, cause: this.cause };
    this.cause = undefined;
    if (gap) {
      for (const subscriptions of this.subscriptions.values())
        for (const subscription of [...subscriptions]) subscription.missed(gap);
    }
    const { held } = this;
    this.held = null;
    for (const message of held) this.heard(message);
  }
}

function ignore() {}

module.exports = { ListenConnection };
