'use strict';

// The query of a request as tracers (dd-trace, New Relic, AWS X-Ray) find it in the queue of a client: pg's Query, with
// its events, and with a `callback` that they may replace. It is made when somebody looks.

const { bare, captureContext } = require('../async/callback-context');
const Query = require('../query');

/** The query of `request`; from here on it answers by this query. */
function shownQuery(request) {
  if (request.isRaw) return request.query || request;
  if (request.query === null) showStatement(request);
  return request.query;
}

function showStatement(statement) {
  const { text, values, rows, types, rowMode, resolve, callback } = statement;
  const query = new Query({ text, values, rows, types, rowMode, name: statement.name || undefined });
  if (resolve === undefined) query.callback = bare(callback);
  else query.callback = (error, result) => (error ? statement.reject(resolve, error) : resolve(result));
  query._context = (callback && callback.context) || captureContext();
  query._statement = statement;
  statement.query = query;
  statement.resolve = undefined;
  statement.callback = undefined;
}

module.exports = { shownQuery };
