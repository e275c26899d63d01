'use strict';

// One proxied connection: two sockets and two lanes. A lane carries one direction, counts its
// bytes, knows its message boundaries, and looks up the proxy's rules at each of them. Reading
// stops while a lane is stalled or its sink is full, so that the sender feels it as it would.

const { EventEmitter } = require('node:events');
const { MessageSplitter } = require('./message-splitter');

class Link extends EventEmitter {
  isCut = false;
  #open = 2;

  constructor(client, server, rules, fired) {
    super();
    this.client = client;
    this.server = server;
    this.toServer = new Lane(this, client, server, 'toServer', rules, fired);
    this.toClient = new Lane(this, server, client, 'toClient', rules, fired);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ]) {
      socket.on('error', () => reset(other));
      socket.on('close', () => {
        this.#open -= 1;
        if (this.#open === 0) this.emit('close');
        else if (!this.toServer.isStalled && !this.toClient.isStalled) other.destroySoon();
      });
    }
  }

  lanes(direction) {
    return direction ? [this[direction]] : [this.toServer, this.toClient];
  }

  cut(how) {
    this.isCut = true;
    for (const socket of [this.client, this.server]) {
      if (how === 'fin') socket.destroySoon();
      // What was forwarded before the cut still arrives.
      else if (socket.writableLength > 0) socket.write('', () => reset(socket));
      else reset(socket);
    }
  }

  stall(direction) {
    for (const lane of this.lanes(direction)) lane.stall();
  }

  resume(direction) {
    for (const lane of this.lanes(direction)) lane.resume();
  }

  delay(milliseconds, direction) {
    for (const lane of this.lanes(direction)) lane.milliseconds = milliseconds;
  }

  halfClose(direction) {
    for (const lane of this.lanes(direction)) lane.halfClose();
  }

  destroy() {
    this.client.destroy();
    this.server.destroy();
  }
}

// Node forgets the descriptor of a socket that is reset while its FIN is under way, and resets no unix socket, which
// has no remote address.
function reset(socket) {
  if (socket.writableEnded || socket.remoteAddress === undefined) socket.destroy();
  else socket.resetAndDestroy();
}

class Lane {
  bytes = 0;
  messages = [];
  isStalled = false;
  milliseconds = 0;
  #link;
  #source;
  #sink;
  #direction;
  #rules;
  #fired;
  #splitter;
  #marks = [];
  #marked = 0;
  #seen = new Map();
  #acted = new Set();
  #held = null;
  #edit = null;
  #waiting = false;
  #ended = false;

  constructor(link, source, sink, direction, rules, fired) {
    this.#link = link;
    this.#source = source;
    this.#sink = sink;
    this.#direction = direction;
    this.#rules = rules;
    this.#fired = fired;
    this.#splitter = new MessageSplitter(direction === 'toServer');
    source.on('data', (chunk) => this.#take(chunk));
    source.on('end', () => {
      this.#ended = true;
      this.#flow();
    });
    sink.on('drain', () => this.#flow());
  }

  stall() {
    this.isStalled = true;
    this.#source.pause();
  }

  resume() {
    this.isStalled = false;
    const held = this.#held;
    this.#held = null;
    if (held) this.#forward(held);
    this.#flow();
  }

  halfClose() {
    this.#source.pause();
    this.#sink.end();
  }

  /** `edit(bytes)` changes the next bytes in place. */
  editNext(edit) {
    this.#edit = edit;
  }

  #take(chunk) {
    if (this.milliseconds === 0) {
      this.#forward(chunk);
      return;
    }
    this.#waiting = true;
    this.#source.pause();
    setTimeout(() => {
      this.#waiting = false;
      this.#forward(chunk);
      this.#flow();
    }, this.milliseconds);
  }

  // Forwards `chunk` piece by piece, stopping at each place where a rule acts.
  #forward(chunk) {
    if (this.#link.isCut) return;
    if (this.isStalled) {
      this.#held = this.#held ? Buffer.concat([this.#held, chunk]) : chunk;
      return;
    }
    const place = this.#nextPlace(chunk);
    if (!place) {
      this.#write(chunk);
      return;
    }
    this.#write(chunk.subarray(0, place.offset));
    this.#act(place.rule);
    const rest = chunk.subarray(place.offset);
    if (rest.length > 0) this.#forward(rest);
  }

  // The first place in `chunk` where a rule acts. Marks past a byte rule's place stay for later.
  #nextPlace(chunk) {
    this.#mark(chunk);
    const byByte = this.#rules
      .filter(
        (rule) => rule.direction === this.#direction && rule.byte !== undefined && !this.#acted.has(rule),
      )
      .filter((rule) => rule.byte >= this.bytes && rule.byte <= this.bytes + chunk.length)
      .sort((a, b) => a.byte - b.byte)[0];
    const limit = byByte?.byte ?? Infinity;
    while (this.#marks.length > 0 && this.#marks[0].position <= limit) {
      const mark = this.#marks.shift();
      const rule = this.#rules.find((one) => this.#matches(one, mark));
      if (rule) return { rule, offset: mark.position - this.bytes };
    }
    return byByte && { rule: byByte, offset: limit - this.bytes };
  }

  // Each byte goes through the splitter once, also when the chunk comes here again piece by piece.
  #mark(chunk) {
    const fresh = chunk.subarray(this.#marked - this.bytes);
    for (const mark of this.#splitter.push(fresh)) {
      this.#marks.push({ ...mark, position: this.#marked + mark.offset });
      if (mark.at === 'begin') this.messages.push(mark.type);
    }
    this.#marked += fresh.length;
  }

  #matches(rule, mark) {
    if (rule.direction !== this.#direction || rule.message !== mark.type) return false;
    if ((mark.at === 'end') !== rule.after) return false;
    const count = (this.#seen.get(rule) ?? 0) + 1;
    this.#seen.set(rule, count);
    return count === rule.nth;
  }

  #act(rule) {
    this.#acted.add(rule);
    this.#fired(rule);
    if (rule.action === 'stall') this.#link.stall(this.#direction);
    else if (typeof rule.action === 'function') rule.action(this.#link, this);
    else this.#link.cut(rule.action);
  }

  #write(piece) {
    if (piece.length === 0) return;
    this.bytes += piece.length;
    let bytes = piece;
    if (this.#edit) {
      bytes = Buffer.from(piece);
      this.#edit(bytes);
      this.#edit = null;
    }
    if (this.#sink.destroyed || this.#sink.writableEnded) return;
    if (!this.#sink.write(bytes)) this.#source.pause();
  }

  #flow() {
    if (this.isStalled || this.#waiting) return;
    if (this.#ended) this.#sink.end();
    else if (!this.#sink.writableNeedDrain) this.#source.resume();
  }
}

module.exports = { Link };
