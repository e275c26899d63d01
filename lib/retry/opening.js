'use strict';

// Opening of a transaction's run: how its BEGIN reaches the server. With the first statement of its function, or with a
// whole list and the question for its id, in one flight; alone where somebody could tell the difference: a patched or
// traced `query`, a pipeline, settings that have to be right before the function runs.
//
// The statements of a flight do not run where BEGIN fails, and nothing else is sent before it is answered.

const Client = require('../client');
const Statement = require('../statement/statement');
const { Flight, mayFly } = require('../client/flight');
const { plainMethods } = require('../client/patched-methods');
const { isUsable } = require('../client/session-state');
const { DatabaseError } = require('../errors');
const { isTraced } = require('../monitor/tracing-channels');
const { identityQuery } = require('./commit-outcome');

const { own } = Statement;
const { query: plainQuery } = plainMethods(Client.prototype);
// A longer list is sent one by one, so that not all of it is in memory at once.
const MAX_STATEMENTS = 100;
const MAX_BYTES = 1024 * 1024;

class Opening {
  /**
   * @param transaction `begin`, `settings`, `readOnly`, `pool`
   * @param client on which it runs; nothing else runs there
   */
  constructor(transaction, client) {
    this.transaction = transaction;
    this.client = client;
    // The error of BEGIN or of the settings.
    this.error = undefined;
    this.isFlying = false;
  }

  /** Begins, or has that done with the first statement. The settings of the transaction go with BEGIN. */
  async begin() {
    const { client, transaction } = this;
    if (transaction.settings === undefined && isPlain(client)) {
      this.isFlying = true;
      client._requests.precede([this.statement({ text: transaction.begin })]);
      // So it is for whoever asks: all that is sent from here on is in the transaction.
      client._txStatus = 'T';
      return;
    }
    const configs = [own({ text: transaction.begin }), transaction.settings].filter(
      (one) => one !== undefined,
    );
    try {
      await Promise.all(configs.map((config) => client.query(config)));
    } catch (error) {
      this.error = error;
      throw error;
    }
  }

  /**
   * Runs all `queries` with BEGIN in one flight, and asks for the id.
   * @returns their results and what is known for COMMIT; undefined: they have to be run one by one
   */
  async sendAll(queries) {
    const { client, transaction } = this;
    if (queries === undefined || !isPlain(client)) return undefined;
    const answers = [];
    const listed = listedStatements(client, queries, answers);
    if (listed === undefined) return undefined;
    const before = [this.statement({ text: transaction.begin })];
    if (transaction.settings !== undefined)
      before.push(this.statement({ text: transaction.settings.text, values: transaction.settings.values }));
    const identity = transaction.readOnly ? undefined : identityQuery(transaction.pool);
    const after = identity === undefined ? [] : [answering(client, identity.config, answers)];
    this.isFlying = true;
    const flight = new Flight(client, [...before, ...listed, ...after], () => {});
    try {
      flight.send(MAX_BYTES);
    } catch {
      // A value that cannot be sent, which fails in its turn, or too much of them.
      flight.takeBack();
      return undefined;
    }
    const results = await Promise.all(answers);
    return { results: results.slice(0, listed.length), commit: identity?.read(results.at(-1)) };
  }

  /** Throws the error of BEGIN. */
  check() {
    if (this.error !== undefined) throw this.error;
  }

  /** The error of BEGIN, where the connection was not lost with it. */
  get refused() {
    return this.error instanceof DatabaseError || isUsable(this.client) ? this.error : undefined;
  }

  /** The run is over. False: BEGIN was never sent. */
  end() {
    if (!this.isFlying || this.client._requests.endPreceding()) return true;
    this.client._txStatus = 'I';
    return false;
  }

  /** A statement whose error is that of BEGIN. */
  statement(config) {
    const statement = new Statement(this.client._types);
    statement.read(own(config), undefined, (error) => {
      if (error) this.error ??= error;
    });
    this.client._adopt(statement);
    return statement;
  }
}

/** Whether nobody sees what is sent on this client but by its results. */
function isPlain(client) {
  return client.query === plainQuery && !client.pipeline && !client.replication && !isTraced('query');
}

/** Statements of a list; their results come to `answers`. Undefined: one of them has to be sent alone. */
function listedStatements(client, queries, answers) {
  if (queries.length === 0 || queries.length > MAX_STATEMENTS) return undefined;
  const statements = [];
  for (const one of queries) {
    const [config, values] = one?.query === undefined ? [one] : [one.query, one.values];
    if (!isListable(config, values)) return undefined;
    const statement = new Statement(client._types);
    statement.read(config, values, undefined);
    if (statement.callback || client._adopt(statement) !== undefined || !mayFly(client, statement))
      return undefined;
    statements.push(statement);
  }
  for (const statement of statements) answers.push(answerOf(statement));
  return statements;
}

function isListable(config, values) {
  const isConfig =
    config !== null && typeof config === 'object' && typeof config.submit !== 'function' && !config.signal;
  return (typeof config === 'string' || isConfig) && (values == null || Array.isArray(values));
}

function answering(client, config, answers) {
  const statement = new Statement(client._types);
  statement.read(config, undefined, undefined);
  client._adopt(statement);
  answers.push(answerOf(statement));
  return statement;
}

function answerOf(statement) {
  return new Promise((resolve) => {
    statement.resolve = resolve;
  });
}

module.exports = { Opening };
