'use strict';

// Patched methods: whether `Client.prototype.query` and `connect` are as we wrote them. New Relic rewrites the source of
// lib/client.js while it is loaded and wraps the body of a method in a function. Identity does not show that; the
// depth of the stack does: one frame more.

const STOP = new Error('far enough');

// The answer for a prototype is found once, before anybody can have replaced its methods.
const known = new WeakMap();

/** `connect` and `query` of Client's prototype; null for one whose source was rewritten. */
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

/** Whether `call` reaches its argument over itself and one method. */
function isDirect(call) {
  const before = depth();
  let reached = Infinity;
  try {
    call(() => {
      reached = depth();
      throw STOP;
    });
  } catch {
    // STOP, or the failure of a rewritten method: `reached` tells.
  }
  return reached - before === 3;
}

/**
 * The number of functions on the stack. NaN where it cannot be told (--frozen-intrinsics): then no method counts as plain.
 * @returns {number}
 */
function depth() {
  if (Object.isFrozen(Error)) return NaN;
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = Infinity;
    Error.prepareStackTrace = (_, sites) => sites.length;
    return /** @type {any} */ (new Error().stack);
  } finally {
    Object.assign(Error, { prepareStackTrace, stackTraceLimit });
  }
}

module.exports = { plainMethods };
