'use strict';

// A server that attacks: it answers with random sequences of messages, most of them right, some of them wrong. Every
// text and number that it sends on a connection carries the mark of that connection's owner, the user of its startup
// message. What an owner is told and does not bear its own mark was taken from somebody else. Towards the database HONEST
// it behaves: its results fill the memory that those of the others are read from.

const { setTimeout: pause } = require('node:timers/promises');
const backend = require('../support/backend-messages');
const { ScriptedServer, close, reset, stall } = require('../support/scripted-server');
const { Chance } = require('./chance');

const TEXT = 25;
const TYPES = [TEXT, 23, 20, 701, 16, 1184, 1082, 17, 114, 1007];
const HONEST = 'honest';
const HONEST_ROWS = 100;

/** A number of an owner is its own, times this, and less than this more. */
const SHARE = 1000;

/** The marks of an owner, a number of seven digits that stands nowhere else. */
const mark = (owner) => `<${owner}>`;

/** The marks within a text. */
const marksIn = (text) => [...text.matchAll(/<(\d{7})>/g)].map(([, owner]) => Number(owner));

class Attack {
  constructor(chance, owner) {
    this.chance = chance;
    this.owner = owner;
    this.fields = [];
    this.isTold = false;
  }

  text() {
    return mark(this.owner).repeat(this.chance.pick([1, 1, 1, 2, 5, 40]));
  }

  number() {
    return this.owner * SHARE + this.chance.between(0, SHARE - 1);
  }

  value(type) {
    const { chance } = this;
    if (chance.isTrue(0.1)) return null;
    if (chance.isTrue(0.05)) return chance.pick(['', this.text(), Buffer.from([0xff, 0xfe, 0])]);
    if (type === 23 || type === 20 || type === 701) return String(this.number());
    if (type === 1184) return '2026-01-02 03:04:05+00';
    if (type === 1007) return `{${this.number()},${this.number()}}`;
    if (type === 114) return JSON.stringify({ mine: this.text() });
    if (type === 17) return `\\x${Buffer.from(this.text()).toString('hex')}`;
    return this.text();
  }

  description(count = this.chance.pick([1, 1, 2, 3, 8, 60, 400]), types = TYPES) {
    this.fields = Array.from({ length: count }, (_, index) => ({
      name: `${mark(this.owner)}${index}`,
      type: this.chance.pick(types),
    }));
    this.isTold = true;
    return backend.rowDescription(this.fields);
  }

  row(fields = this.fields) {
    return backend.dataRow(fields.map(({ type }) => this.value(type)));
  }

  rows() {
    return Buffer.concat(Array.from({ length: this.chance.pick([0, 1, 2, 10, 100]) }, () => this.row()));
  }

  complete() {
    return backend.commandComplete(
      this.chance.pick(['SELECT 1', 'INSERT 0 1', `SELECT ${this.number()}`, this.text()]),
    );
  }

  error() {
    return backend.errorResponse({
      severity: this.chance.weighted({ ERROR: 9, FATAL: 1 }),
      code: this.chance.pick(['XX000', '40001', '26000', '0A000', '42P05', '57014', '22P02']),
      message: this.text(),
      fields: { D: this.text(), s: this.text() },
    });
  }

  ready() {
    return backend.readyForQuery(this.chance.weighted({ I: 8, T: 1, E: 1 }));
  }

  /** A result whose columns are described again behind a row of nothing: read by them, it goes on in foreign memory. */
  torn() {
    const first = this.description();
    const row = backend.dataRow(this.fields.map(() => null));
    return Buffer.concat([first, row, this.description(60, [TEXT]), this.complete()]);
  }

  // What a server may send in between.
  aside() {
    return this.chance.pick([
      () => backend.noticeResponse({ message: this.text(), fields: { D: this.text() } }),
      () => backend.notificationResponse(mark(this.owner), this.text()),
      () =>
        backend.parameterStatus(
          this.chance.pick(['TimeZone', 'application_name', 'search_path']),
          this.text(),
        ),
    ])();
  }

  // What it may not, or not here.
  nonsense() {
    const { chance } = this;
    return chance.pick([
      () => this.torn(),
      () => this.row([{ type: TEXT }]),
      () => this.row(Array.from({ length: chance.between(0, 70) }, () => ({ type: TEXT }))),
      () => backend.noData(),
      () => this.description(),
      () => this.complete(),
      () => this.ready(),
      () => backend.portalSuspended(),
      () => backend.parseComplete(),
      () => backend.bindComplete(),
      () => backend.closeComplete(),
      () => backend.emptyQueryResponse(),
      () => backend.parameterDescription(Array(chance.between(0, 9)).fill(TEXT)),
      () => backend.copyInResponse(chance.between(0, 9)),
      () => backend.copyOutResponse(chance.between(0, 9)),
      () => backend.copyData(this.text()),
      () => backend.copyDone(),
      () => backend.authenticationOk(),
      () => backend.authenticationCleartextPassword(),
      () => backend.backendKeyData(chance.between(1, 99), chance.between(1, 99)),
      () =>
        backend.lyingMessage(
          chance.pick([...'TDCEZNAS12n']),
          chance.pick([-1, 0, 3, 4, 5, 2 ** 31 - 1]),
          this.row(),
        ),
      () => backend.message(String.fromCharCode(chance.between(0, 127)), Buffer.from(this.text())),
      () => Buffer.from(this.text()),
    ])();
  }

  /** The answer to one query. */
  answer(isExtended) {
    const { chance } = this;
    const parts = isExtended ? [backend.parseComplete(), backend.bindComplete()] : [];
    for (let left = isExtended ? 1 : chance.pick([1, 1, 1, 2]); left > 0; left--) {
      const kind = chance.weighted({ rows: 16, error: 2, command: 2, torn: 1 });
      if (kind === 'error') parts.push(this.error());
      else if (kind === 'command') parts.push(...(isExtended ? [backend.noData()] : []), this.complete());
      else if (kind === 'torn') parts.push(this.torn());
      else parts.push(this.description(), this.rows(), this.complete());
    }
    parts.push(this.ready());
    if (chance.isTrue(0.3)) parts.splice(chance.between(0, parts.length), 0, this.aside());
    if (chance.isTrue(0.35)) return parts;
    for (let left = chance.pick([0, 0, 1, 1, 2, 3]); left > 0; left--) this.spoil(parts);
    return parts;
  }

  /** As an honest server answers a simple query: few rows with long texts, which fill the memory behind them. */
  honestAnswer() {
    const rows = Array.from({ length: HONEST_ROWS }, () => [mark(this.owner).repeat(60)]);
    return backend.simpleResult(['word'], rows);
  }

  spoil(parts) {
    const { chance } = this;
    const at = chance.between(0, parts.length);
    const how = chance.weighted({ add: 6, drop: 2, twice: 1, cut: 1 });
    if (how === 'add') parts.splice(at, 0, this.nonsense());
    else if (how === 'drop') parts.splice(at, 1);
    else if (how === 'twice') parts.splice(at, 0, parts[at] ?? this.ready());
    else if (parts[at] !== undefined) parts[at] = parts[at].subarray(0, chance.between(0, parts[at].length));
  }
}

/** Sends in pieces that end anywhere. */
async function sendInPieces(session, bytes, chance) {
  for (let at = 0; at < bytes.length; ) {
    const size = chance.isTrue(0.7) ? bytes.length : chance.between(1, 3000);
    await session.send(bytes.subarray(at, at + size));
    at += size;
    if (at < bytes.length && chance.isTrue(0.2)) await pause(chance.between(0, 2));
  }
}

async function attackOn(session, chance, counts) {
  const startup = await session.next();
  // It does not heed a cancel.
  if (startup.type === 'cancel') return session.run([close()]);
  const words = startup.body.toString('latin1').split('\0');
  const attack = new Attack(chance, Number(words[words.indexOf('user') + 1]));
  const isHonest = words[words.indexOf('database') + 1] === HONEST;
  await session.send(backend.greeting({ parameters: { application_name: attack.text() } }));
  let isExtended = false;
  for (;;) {
    const { type } = await session.next();
    if (type === 'X') return session.run([close()]);
    if (type === 'P' || type === 'B') isExtended = true;
    if (type !== 'Q' && type !== 'S' && type !== 'H') continue;
    if (isHonest) {
      await session.send(attack.honestAnswer());
      continue;
    }
    counts.answers++;
    const end = chance.weighted({ answer: 40, close: 1, reset: 1, stall: 1, idle: 3 });
    if (end === 'close') return session.run([attack.rows(), close()]);
    if (end === 'reset') return session.run([attack.rows(), reset()]);
    if (end === 'stall') return session.run([stall()]);
    await sendInPieces(session, Buffer.concat(attack.answer(isExtended)), chance);
    isExtended = false;
    // A word when nobody has asked.
    if (end === 'idle') {
      await pause(chance.between(0, 3));
      await session.send(chance.isTrue(0.5) ? attack.aside() : attack.nonsense());
    }
  }
}

/** Starts it. `counts.answers`: how many queries it has answered. */
async function startHostileServer(seed) {
  const counts = { answers: 0 };
  const server = await ScriptedServer.start((number) => [
    (session) => attackOn(session, new Chance(seed, `connection ${number}`), counts),
  ]);
  // Nobody looks at what it was sent.
  server.received.push = () => 0;
  return { server, counts };
}

module.exports = { HONEST, HONEST_ROWS, SHARE, marksIn, startHostileServer };
