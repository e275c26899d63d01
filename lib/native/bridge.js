'use strict';

// The meeting point with the Rust core, one per JavaScript thread: it hands out ids, reads the records
// of each frame and gives every record to the statement, checkout or connection it is meant for. It
// decides nothing. The layout of a frame is described in docs/design/boundary.md.
//
// A turn lasts a few milliseconds at most, what is left waits for the next one, so that large results
// never freeze the application. User code that throws never stops the reading.

const { performance } = require('node:perf_hooks');
const Shape = require('../decode/row-description');
const { ConfigurationError } = require('../errors');
const { rethrow } = require('../async/answer');
const { Frame } = require('./frame');
const { RECORDS, RECORD_HEADER } = require('./layout');

const BUFFER_BYTES = 256 * 1024;
const TURN_MILLIS = 3;
// The clock is read once per this much work; a record counts as its bytes and a fixed share.
const WORK_PER_CLOCK = 16 * 1024;
const WORK_PER_RECORD = 256;

const {
  SHAPE,
  ROWS,
  COMMAND,
  DONE,
  FAIL,
  LENT,
  OPENED,
  CLOSED,
  EVENT,
  ASK,
  FORGET,
  RESTART,
  RAW,
  SUSPENDED,
  NOTE,
  DIAL,
  CARRY,
  RESUME,
  HANG_UP,
  LOG,
  LOGIN,
  ADMIT,
  REFUSED,
  OVERDUE,
} = RECORDS;

/** What JavaScript knows of a connection. */
class Link {
  constructor(id, owner, info) {
    this.id = id;
    this.owner = owner;
    this.info = info;
    this.client = null;
    this.lent = false;
    this.open = true;
    this.fresh = true;
    this.counted = false;
  }
}

class Hub {
  constructor(native) {
    // The core must not keep this module alive: a test runner throws whole module registries away.
    const self = new WeakRef(this);
    this.module = native;
    this.native = new native.Hub(() => {
      const hub = self.deref();
      if (hub !== undefined) hub.drain();
    });
    this.own = new Frame(BUFFER_BYTES);
    this.frame = this.own;
    this.at = 0;
    this.filled = 0;
    this.draining = false;
    this.postponed = false;
    this.requests = [undefined];
    this.free = [];
    this.links = new Map();
    // Streams that Node carries for the core.
    this.tunnels = new Map();
    this.shapes = new Map();
    // Weakly: as under pg, a pool without connections that nobody refers to is gone. Its connections and
    // requests refer to it.
    const owners = new Map();
    this.owners = owners;
    this.graves = new FinalizationRegistry((number) => owners.delete(number));
    this.lastOwner = 0;
    // Who hears the events of the log: set by monitor/event-log.js while it listens.
    this.onLog = () => {};
    this.alive = 0;
  }

  /**
   * A native pool that reports to `owner` (`opened`, `closed`, `ask`).
   * @throws ConfigurationError naming every option that is out of its range
   */
  open(owner, settings) {
    const number = ++this.lastOwner;
    const pool = this.begin(number, settings);
    this.owners.set(number, new WeakRef(owner));
    this.graves.register(owner, number);
    owner.number = number;
    return pool;
  }

  begin(number, settings) {
    try {
      return new this.module.Pool(this.native, number, JSON.stringify(settings));
    } catch (error) {
      if (error.code === 'InvalidArg') throw new ConfigurationError(error.message.split('\n'));
      throw error;
    }
  }

  /** The owner expects nothing any more. */
  forget(owner) {
    this.owners.delete(owner.number);
  }

  owner(number) {
    return this.owners.get(number)?.deref();
  }

  /** Gives `request` an id; it keeps the process alive until it is settled, unless not `counted`. */
  admit(request) {
    const id = this.free.length > 0 ? this.free.pop() : this.requests.length;
    this.requests[id] = request;
    request.id = id;
    if (request.counted) this.keepAlive();
    return id;
  }

  /** Takes the request out of the table; undefined when it is there no more. */
  settle(id) {
    const request = this.requests[id];
    if (request === undefined) return undefined;
    this.requests[id] = undefined;
    this.free.push(id);
    request.id = 0;
    if (request.counted) this.letGo();
    return request;
  }

  keepAlive() {
    if (this.alive++ === 0) this.native.hold();
  }

  letGo() {
    if (--this.alive === 0) this.native.letGo();
  }

  /** Whether an open connection keeps the process alive. */
  count(link, counted) {
    if (link.counted === counted) return;
    link.counted = counted;
    if (counted) this.keepAlive();
    else this.letGo();
  }

  /** The open connections of a pool, the oldest first. */
  linksOf(owner) {
    return [...this.links.values()].filter((link) => link.owner === owner);
  }

  /** Whether a statement or checkout of this pool has yet to be answered. */
  serves(pool) {
    return this.requests.some((request) => request !== undefined && request.pool === pool);
  }

  drain() {
    if (this.draining || this.postponed) return;
    this.draining = true;
    try {
      this.turn(performance.now() + TURN_MILLIS);
    } finally {
      this.draining = false;
    }
  }

  turn(until) {
    let work = 0;
    while (this.at < this.filled || this.fill()) {
      const frame = this.frame;
      const word = this.at >>> 2;
      const length = frame.words[word];
      if (length < RECORD_HEADER) {
        this.at = this.filled;
        rethrow(new Error(`a record of ${length} bytes came from the native core`));
        continue;
      }
      this.at += length;
      try {
        this.record(frame, word);
      } catch (error) {
        rethrow(error);
      }
      work += length + WORK_PER_RECORD;
      if (work < WORK_PER_CLOCK) continue;
      work = 0;
      if (performance.now() >= until) return this.postpone();
    }
  }

  fill() {
    this.frame = this.own;
    this.at = 0;
    this.filled = 0;
    let taken = this.native.take(this.own.bytes);
    if (taken < 0) {
      this.frame = new Frame((-taken + 7) & ~7);
      taken = this.native.take(this.frame.bytes);
    }
    this.filled = taken;
    return taken > 0;
  }

  postpone() {
    this.postponed = true;
    setImmediate(() => {
      this.postponed = false;
      this.drain();
    });
  }

  // What is meant for a request; the rest is news.
  record(frame, word) {
    const words = frame.words;
    const kind = words[word + 1] & 0xff;
    const id = words[word + 2];
    const argument = words[word + 3];
    switch (kind) {
      case ROWS: {
        const request = this.requests[id];
        if (request !== undefined) request.takeRows(this.shapes.get(argument), frame, word);
        return;
      }
      case COMMAND: {
        const request = this.requests[id];
        if (request !== undefined) request.takeCommand(frame.text(word, argument));
        return;
      }
      case DONE: {
        const request = this.settle(id);
        if (request !== undefined) request.takeDone(argument);
        return;
      }
      case FAIL: {
        const request = this.settle(id);
        if (request !== undefined) request.takeFailure(frame.json(word, argument), words[word + 1] >>> 8);
        return;
      }
      case LENT: {
        const request = this.settle(id);
        const link = this.links.get(argument);
        if (request === undefined) return;
        if (link === undefined)
          request.takeFailure({ kind: 'plain', message: 'Connection terminated unexpectedly' }, 0);
        else request.takeLink(link);
        return;
      }
      case RESTART: {
        const request = this.requests[id];
        if (request !== undefined) request.takeRestart();
        return;
      }
      case RAW: {
        const request = this.requests[id];
        if (request !== undefined) request.takeRaw(words[word + 1] >>> 8, frame.copy(word, argument));
        return;
      }
      case SUSPENDED: {
        const request = this.requests[id];
        if (request !== undefined) request.takePause();
        return;
      }
      default:
        this.news(kind, frame, word);
    }
  }

  // What no request asked for: connections and their streams, questions to pools, the log.
  news(kind, frame, word) {
    const id = frame.words[word + 2];
    const argument = frame.words[word + 3];
    switch (kind) {
      case DIAL:
        this.dial(id, frame.json(word, argument));
        return;
      case CARRY:
      case RESUME:
      case HANG_UP:
        this.tunnel(kind, id, frame, word, argument);
        return;
      case SHAPE:
        this.shapes.set(id, new Shape(id, frame.json(word, argument)));
        return;
      case FORGET:
        this.shapes.delete(id);
        return;
      case OPENED:
        this.opened(id, frame.json(word, argument));
        return;
      case CLOSED:
        this.closed(id, frame.json(word, argument));
        return;
      case EVENT: {
        const link = this.links.get(id);
        if (link !== undefined && link.client !== null) link.client._event(frame.json(word, argument));
        return;
      }
      case ASK: {
        const owner = this.owner(argument);
        if (owner !== undefined) owner.ask(id);
        return;
      }
      case NOTE: {
        const owner = this.owner(id);
        if (owner !== undefined && owner.note !== undefined) owner.note(frame.json(word, argument));
        return;
      }
      case OVERDUE: {
        const owner = this.owner(id);
        if (owner !== undefined) owner.overdue(frame.json(word, argument));
        return;
      }
      case LOGIN: {
        const owner = this.owner(id);
        if (owner !== undefined) owner.heard(frame.json(word, argument));
        return;
      }
      case ADMIT: {
        const owner = this.owner(argument);
        if (owner !== undefined) owner.admit(id);
        return;
      }
      case REFUSED: {
        const { pool, error } = frame.json(word, argument);
        const owner = this.owner(pool);
        if (owner !== undefined) owner.refused(id, error);
        return;
      }
      case LOG:
        this.onLog(frame.json(word, argument));
        return;
      default:
        throw new Error(`a record of unknown kind ${kind} came from the native core`);
    }
  }

  dial(id, info) {
    const owner = this.owner(info.pool);
    if (owner === undefined) return;
    const tunnel = owner.dial(id, info);
    if (tunnel === undefined) return;
    this.tunnels.set(id, tunnel);
    tunnel.open();
  }

  tunnel(kind, id, frame, word, length) {
    const tunnel = this.tunnels.get(id);
    if (tunnel === undefined) return;
    if (kind === CARRY) {
      tunnel.write(frame.copy(word, length));
    } else if (kind === RESUME) {
      tunnel.resume();
    } else {
      this.tunnels.delete(id);
      tunnel.hangUp();
    }
  }

  opened(id, info) {
    const owner = this.owner(info.pool);
    if (owner === undefined) return;
    const link = new Link(id, owner, info);
    this.links.set(id, link);
    owner.opened(link);
  }

  closed(id, info) {
    const link = this.links.get(id);
    if (link === undefined) return;
    this.links.delete(id);
    link.open = false;
    this.count(link, false);
    link.owner.closed(link, info);
  }
}

let current;

/** The hub of this thread; the native core is loaded when it is first needed. */
function hub() {
  if (current === undefined) current = new Hub(require('.'));
  return current;
}

module.exports = { hub, Hub };
