'use strict';

// Flight: several statements of a client that go out together, with one Sync behind them all. Where one fails, the server
// passes over the rest: they have not run, and fail with the same error. What is answered before that is answered.
//
// Only such statements fly that do the same there as alone (`mayFly`): one text of a kind that ends no transaction and
// takes no data, without a name, pages or a signal. In a flight they use the extended protocol, as those with values do.

const { throwAsync } = require('../async/uncaught');
const { pack } = require('../encode/request');
const { fromNative } = require('../errors');
const { bridge } = require('../native/bridge');
const { REQUEST_FLAGS } = require('../native/layout');
const { isLoss } = require('./connection-loss');

const { SIMPLE, BINARY, CANCELLABLE, JOINED } = REQUEST_FLAGS;
// A statement of more may not fit into a message; alone it is the one that is refused.
const MAX_VALUES = 1000;
const PARAMETER = /\$\d/;
const IN_TRANSACTION = 'T'.charCodeAt(0);

class Flight {
  /**
   * @param statements those of a client, `validate` has found nothing; in order
   * @param ended called once all are settled, with how many were answered
   */
  constructor(client, statements, ended) {
    this.id = 0;
    this.keepsAlive = client._referenced;
    this.client = client;
    this.statements = statements;
    // What each has where it goes alone, for `takeBack`.
    this.flags = statements.map(({ flags }) => flags);
    this.ended = ended;
    this.answered = 0;
  }

  /** Sends them; throws what `pack` throws, or where they have more bytes than `most`, and has sent nothing then. */
  send(most = Number.POSITIVE_INFINITY) {
    const { client, statements } = this;
    const isAlone = statements.length === 1;
    if (!isAlone) for (const statement of statements) extend(statement);
    const bytes = isAlone ? undefined : joined(statements, most);
    const packed = isAlone ? pack(statements[0]) : undefined;
    bridge().register(this);
    for (const statement of statements) statement.id = this.id;
    client._requests.sent.push(...statements);
    if (isAlone) client._native.send(client._handle.id, this.id, packed.buffer, packed.length);
    else client._native.sendFlight(client._handle.id, this.id, bytes);
  }

  /** After `send` has thrown. */
  takeBack() {
    if (this.id !== 0) bridge().take(this.id);
    for (const [index, statement] of this.statements.entries()) {
      statement.id = 0;
      statement.flags = this.flags[index];
      this.client._requests.remove(statement);
    }
  }

  get current() {
    return this.statements[Math.min(this.answered, this.statements.length - 1)];
  }

  takeRows(shape, frame, word) {
    this.current.takeRows(shape, frame, word);
  }

  takeCommand(tag) {
    this.current.takeCommand(tag);
    this.answered += 1;
  }

  failAtEnd(error) {
    this.current.failAtEnd(error);
  }

  takeDone(status) {
    this.settle(this.statements, status);
    this.ended(this.answered);
  }

  takeFailure(failure, status) {
    const { client, statements, answered } = this;
    const requests = client._requests;
    // The last one is not over before the Sync is answered: where all were answered, it is the one that fails.
    const settled = Math.min(answered, statements.length - 1);
    this.settle(statements.slice(0, settled), IN_TRANSACTION);
    const [failed, ...rest] = statements.slice(settled);
    failed.id = 0;
    guarded(() => requests.failed(failed, failure, status));
    for (const statement of rest) {
      statement.id = 0;
      guarded(() => {
        if (isLoss(failure)) requests.failed(statement, failure, status);
        else requests.passedOver(statement, fromNative(failure));
      });
    }
    this.ended(settled, failure);
  }

  settle(statements, status) {
    for (const statement of statements) {
      statement.id = 0;
      guarded(() => this.client._requests.settled(statement, status));
    }
  }
}

/** Has a statement of the simple protocol use the extended one; its values come as text, as they do there. */
function extend(statement) {
  if (statement.isSimple) statement.flags &= ~(SIMPLE | BINARY);
}

// What the code of one caller throws does not keep the others from their answers.
function guarded(run) {
  try {
    run();
  } catch (error) {
    throwAsync(error);
  }
}

function joined(statements, most) {
  const frames = [];
  let size = 0;
  for (const statement of statements) {
    const [head, body] = framed(statement);
    size += head.length + body.length;
    if (size > most) throw new RangeError(`more than ${most} bytes`);
    frames.push(head, body);
  }
  return Buffer.concat(frames, size);
}

/** The request and, before it, its length. */
function framed(statement) {
  const { buffer, length } = pack(statement);
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32LE(length);
  return [head, Buffer.from(buffer.subarray(0, length))];
}

/** Whether a request of this client does the same with others under one Sync as it does alone. */
function mayFly(client, request) {
  return (
    !request.isRaw &&
    request.name === '' &&
    request.rows === 0 &&
    (request.flags & (CANCELLABLE | JOINED)) === 0 &&
    !(request.values && request.values.length > MAX_VALUES) &&
    // The protocols have different words for a parameter that is missing.
    !(request.isSimple && PARAMETER.test(request.text)) &&
    client._native.mayGoWithOthers(request.text.toWellFormed())
  );
}

module.exports = { Flight, mayFly };
