'use strict';

// TracingChannels of node:diagnostics_channel, for tracers and for those who look for a slow statement:
//
//   pgpool-rs:query        a statement, on a pool or on a client      { text, name, pool }
//   pgpool-rs:acquire      a checkout                                 { pool }
//   pgpool-rs:connect      a client that connects by itself           { host, port, database }
//   pgpool-rs:transaction  a whole transaction, retries included      { pool }
//
// All events of one operation have the same context object; Node adds `result` and `error`. Parameters are never
// in it. Without a subscriber a call costs one test.

const { tracingChannel } = require('node:diagnostics_channel');

const channels = {
  query: tracingChannel('pgpool-rs:query'),
  acquire: tracingChannel('pgpool-rs:acquire'),
  connect: tracingChannel('pgpool-rs:connect'),
  transaction: tracingChannel('pgpool-rs:transaction'),
};

// `hasSubscribers` of a tracing channel exists since Node 20.13.
function isHeard(channel) {
  if (channel.hasSubscribers !== undefined) return channel.hasSubscribers;
  const { start, end, asyncStart, asyncEnd, error } = channel;
  return [start, end, asyncStart, asyncEnd, error].some((part) => part.hasSubscribers);
}

/** Whether anybody listens to operations of this kind. */
function isTraced(kind) {
  return isHeard(channels[kind]);
}

// True while a traced method is called again, by `trace`.
let isInside = false;

/**
 * Enters a trace, if anybody listens: then the method hands itself over to one of the functions below, which call
 * it again. That call enters no trace.
 */
function enterTrace(kind) {
  if (isInside) {
    isInside = false;
    return false;
  }
  return isHeard(channels[kind]);
}

function again(method, target, values) {
  isInside = true;
  try {
    return method.apply(target, values);
  } finally {
    isInside = false;
  }
}

function trace(channel, context, callback, run) {
  if (typeof callback === 'function') return channel.traceCallback(run, 0, context, undefined, callback);
  return channel.tracePromise(run, context);
}

/** `query` of a pool or a client, in any of its call forms. */
function traceQuery(method, target, [config, values, last]) {
  const form = typeof values === 'function' ? { callback: values } : { values, callback: last };
  const callback = form.callback || (config && config.callback);
  const text = typeof config === 'string' ? config : config && config.text;
  const context = { text, name: (config && config.name) || undefined, pool: nameOf(target) };
  return trace(channels.query, context, callback, (own) => again(method, target, [config, form.values, own]));
}

/** `connect` of a pool. */
function traceAcquire(method, target, values) {
  return traceConnecting(channels.acquire, { pool: nameOf(target) }, method, target, values);
}

/** `connect` of a client. */
function traceConnect(method, target, values) {
  const { host, port, database } = target;
  return traceConnecting(channels.connect, { host, port, database }, method, target, values);
}

// The callback may come after options.
function traceConnecting(channel, context, method, target, [first, second]) {
  const options = first !== null && typeof first === 'object' ? [first] : [];
  const callback = options.length === 0 ? first : second;
  return trace(channel, context, callback, (own) => again(method, target, [...options, own]));
}

/** A whole transaction on a pool: `run` returns its promise. */
function traceTransaction(pool, run) {
  if (!isHeard(channels.transaction)) return run();
  return channels.transaction.tracePromise(run, { pool: nameOf(pool) });
}

function nameOf(target) {
  const pool = target._pool || target;
  return (pool.options && pool.options.tier) || undefined;
}

module.exports = { enterTrace, isTraced, traceAcquire, traceConnect, traceQuery, traceTransaction };
