'use strict';

// Tracers that change the source of a module while it is loaded put code of their own into
// `Client.prototype.query` and `connect` (module lib/client.js). Nothing is replaced then, so there is nothing to
// compare with; but what was the body of the method is a function within it, and a call is deeper by that.

const STOP = new Error('far enough');

// Looked at once, before anybody can have put other methods in their places.
const known = new WeakMap();

/**
 * `connect` and `query` of Client's prototype where they are what they were written as; null for one that
 * somebody else has had a hand in.
 */
function plainMethods(prototype) {
  let methods = known.get(prototype);
  if (methods === undefined) {
    const { connect, query } = prototype;
    methods = {
      connect: isDirect((reached) => connect.call({ _connect: reached }, nothing)) ? connect : null,
      query: isDirect((reached) => query.call({}, Object.defineProperty({}, 'submit', { get: reached })))
        ? query
        : null,
    };
    known.set(prototype, methods);
  }
  return methods;
}

function nothing() {}

/** Whether `call` comes to what it is given over itself and one method. */
function isDirect(call) {
  const before = depth();
  let reached = Infinity;
  try {
    call(() => {
      reached = depth();
      throw STOP;
    });
  } catch {
    // It was to go no further.
  }
  return reached - before === 3;
}

/** The functions that are being called. */
function depth() {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = Infinity;
    Error.prepareStackTrace = (_, sites) => sites.length;
    return new Error().stack;
  } finally {
    Object.assign(Error, { prepareStackTrace, stackTraceLimit });
  }
}

module.exports = { plainMethods };
