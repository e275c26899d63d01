'use strict';

// A TCP proxy that does to a connection what networks do: cut it by reset or by FIN, stall it,
// slow it, close half of it, damage a byte - now, at a chosen byte, or at a chosen protocol
// message. Directions are `toServer` and `toClient`. Messages can be told apart on plain
// connections only; after TLS has begun, count bytes.

const net = require('node:net');
const { EventEmitter, once } = require('node:events');
const { listen } = require('./ports');
const { Link } = require('./proxy-link');

const DIRECTIONS = ['toServer', 'toClient'];

/**
 * Events: `link` (a Link) for each accepted connection, `fired` (rule, link) when a rule acted.
 */
class Proxy extends EventEmitter {
  links = new Set();
  accepted = 0;
  #target;
  #listener = null;
  #rules = [];
  #delay = { toServer: 0, toClient: 0 };
  #stalled = new Set();

  /** @param {{ host?: string, port: number } | { path: string }} target */
  static async start(target) {
    const proxy = new Proxy(target);
    await proxy.listen();
    return proxy;
  }

  constructor({ host, port, path }) {
    super();
    this.#target = path ? { path } : { host, port };
    this.host = '127.0.0.1';
    this.port = 0;
  }

  /** Accepts connections (again), on the same port as before. */
  async listen() {
    if (this.#listener) return;
    this.#listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) =>
      this.#accept(client),
    );
    await listen(this.#listener, this.port);
    this.port = this.#listener.address().port;
  }

  /** Refuses new connections (ECONNREFUSED); the present ones go on. */
  async refuse() {
    const listener = this.#listener;
    this.#listener = null;
    if (!listener) return;
    listener.close();
    // `close` is reported when the last connection ended; the port is free at once.
  }

  #accept(client) {
    this.accepted += 1;
    const server = net.connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const link = new Link(client, server, this.#rules, (rule) => this.#fired(rule, link));
    for (const direction of DIRECTIONS) {
      link.delay(this.#delay[direction], direction);
      if (this.#stalled.has(direction)) link.stall(direction);
    }
    this.links.add(link);
    link.once('close', () => this.links.delete(link));
    this.emit('link', link);
  }

  #fired(rule, link) {
    rule.times -= 1;
    if (rule.times <= 0) this.#rules.splice(this.#rules.indexOf(rule), 1);
    this.emit('fired', rule, link);
  }

  /** Ends all connections now. `how`: 'reset' (RST) or 'fin'. */
  cut(how = 'reset') {
    for (const link of this.links) link.cut(how);
  }

  /** Forwards nothing more in the direction, on present and future connections, until `resume`. */
  stall(direction) {
    this.#each(direction, (one) => this.#stalled.add(one));
    for (const link of this.links) link.stall(direction);
  }

  resume(direction) {
    this.#each(direction, (one) => this.#stalled.delete(one));
    for (const link of this.links) link.resume(direction);
  }

  /** Holds each chunk back for that many milliseconds; 0 ends it. */
  delay(milliseconds, direction) {
    this.#each(direction, (one) => (this.#delay[one] = milliseconds));
    for (const link of this.links) link.delay(milliseconds, direction);
  }

  /** Sends FIN in one direction; the other goes on. */
  halfClose(direction) {
    for (const link of this.links) link.halfClose(direction);
  }

  /** Ends a connection when `count` bytes went in the direction since it began. */
  cutAfterBytes(direction, count, how = 'reset') {
    return this.when({ direction, byte: count }, how);
  }

  /** Ends a connection at a message of that type: before it is forwarded, or after, with `after`. */
  cutOnMessage(direction, type, { how = 'reset', after = false, nth = 1 } = {}) {
    return this.when({ direction, message: type, after, nth }, how);
  }

  /** Flips the bits of `mask` in the byte at `offset` (from 0, since the connection began). */
  corruptByte(direction, offset, mask = 0xff) {
    return this.when({ direction, byte: offset }, (link, lane) =>
      lane.editNext((bytes) => (bytes[0] ^= mask)),
    );
  }

  /**
   * Acts once (or `times` times) at a byte or a message, on whichever connection gets there first.
   * @param {{ direction: string, byte?: number, message?: string, after?: boolean, nth?: number, times?: number }} place
   * @param {'reset'|'fin'|'stall'|((link: Link, lane: object) => void)} action
   */
  when(place, action) {
    const rule = { nth: 1, times: 1, after: false, ...place, action };
    if (!DIRECTIONS.includes(rule.direction)) throw new TypeError(`unknown direction: ${rule.direction}`);
    this.#rules.push(rule);
    return rule;
  }

  /** Takes back the rules that have not acted yet. */
  disarm() {
    this.#rules.length = 0;
  }

  #each(direction, visit) {
    for (const one of direction ? [direction] : DIRECTIONS) visit(one);
  }

  async stop() {
    const listener = this.#listener;
    this.#listener = null;
    this.disarm();
    const closed = [...this.links].map((link) => once(link, 'close'));
    for (const link of this.links) link.destroy();
    if (listener) {
      listener.close();
      closed.push(once(listener, 'close'));
    }
    await Promise.all(closed);
  }
}

module.exports = { Proxy };
