'use strict';

// Pipeline mode (`pipeline: true`): statements are written at once, each with a Sync of its own, so nothing is accepted
// that needs the connection for itself.

const { nextTick } = require('../async/timers');

const SUBMITTABLE =
  'Custom query classes such as pg-cursor and pg-query-stream are not supported in pipeline mode';
const ROWS = 'The `rows` option is not supported in pipeline mode';

/** The error of a statement that pipeline mode cannot take. */
function refusePaging(client, statement) {
  return client.pipeline && statement.rows ? new Error(ROWS) : undefined;
}

/** Refuses a submittable, by its `handleError`. */
function refuseSubmittable(client, query) {
  nextTick(() => query.handleError(new Error(SUBMITTABLE), client.connection));
  return query;
}

/** Calls `close` once every request is answered. */
function whenAnswered(client, close) {
  if (client.pipeline && client._queryable && !client._requests.isEmpty) {
    client.once('drain', close);
  } else {
    close();
  }
}

module.exports = { refusePaging, refuseSubmittable, whenAnswered };
