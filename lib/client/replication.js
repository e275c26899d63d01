'use strict';

// Replication connections: their simple statements run in raw mode, as submittables do. START_REPLICATION opens a
// stream in both directions: its reader listens for `replicationStart` and `copyData` on `client.connection`, and
// answers by `sendCopyFromChunk`.

const { open } = require('./submittable');

/** Whether `statement` runs in raw mode. One with values does not: the server refuses it in any case. */
function isCommand(client, statement) {
  return Boolean(client.replication) && !client.pipeline && statement.isSimple;
}

/** Runs `statement` on `client`, through the messages of the simple protocol. */
function command(client, statement) {
  const session = open(client, new Command(statement));
  statement.withdraw = () => client._requests.withdraw(session);
}

class Command {
  constructor(statement) {
    this.statement = statement;
    this.query_timeout = statement.queryTimeout;
    this.callback = undefined;
  }

  submit(connection) {
    connection.query(this.statement.text);
  }

  handleRowDescription({ fields }) {
    this.answer().addFields(fields);
  }

  handleDataRow({ fields }) {
    const { statement } = this;
    if (statement.failed) return;
    const { result, query } = statement;
    try {
      result.addRow(result.parseRow(fields));
      if (query !== null) query._emitRows(result, result.rows.length - 1);
    } catch (error) {
      statement.failed = true;
      statement.failure = error;
    }
  }

  handleCommandComplete(message) {
    this.answer().addCommandComplete(message);
    this.statement.open = false;
  }

  handleEmptyQuery() {
    this.answer();
    this.statement.open = false;
  }

  handleReadyForQuery() {
    this.statement.finish();
  }

  handleError(error) {
    this.statement.fail(error);
  }

  // The result that is being received, or the next one.
  answer() {
    const { statement } = this;
    if (!statement.open) statement.begin(undefined);
    return statement.result;
  }
}

module.exports = { command, isCommand };
