'use strict';

// One trial: a Client, a pool's checkout or a pool's query is set on something that goes wrong, and
// what the application would see of it is written down as plain data, so that pg and this package
// can be compared. A promise that does not settle in time is a result too: `hung`.

const fs = require('node:fs');
const net = require('node:net');
const { inspect } = require('node:util');
const { isNativeError } = require('node:util/types');
const { setTimeout: pause } = require('node:timers/promises');
const pg = require('pg');
const { PATIENCE } = require('../support/patience');
const { until } = require('../support/until');

/** An error as far as it can be compared. */
function told(error) {
  // Not every object can be made a string.
  if (!isNativeError(error)) return { thrown: typeof error === 'object' ? inspect(error) : String(error) };
  const { message, code, errno, syscall, address, port, hostname, severity, routine } = error;
  const fields = {
    type: error.constructor.name,
    message,
    code,
    errno,
    syscall,
    address,
    port,
    hostname,
    severity,
    routine,
  };
  if (error.errors) fields.errors = error.errors.map(told);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** How a promise ends; `hung` when it does not. */
async function outcome(promise, patience = PATIENCE) {
  const limit = new AbortController();
  const late = pause(patience, 'hung', { signal: limit.signal }).catch(() => {});
  try {
    return await Promise.race([
      promise.then(
        (value) => ({ value }),
        (error) => ({ error: told(error) }),
      ),
      late,
    ]);
  } finally {
    limit.abort();
  }
}

// pg leaves the socket of a failed login open; what it has opened is closed behind it.
async function tidied(driver, options, body) {
  if (driver !== pg) return body(options);
  const opened = [];
  const stream = () => {
    const socket = new net.Socket();
    opened.push(socket);
    return socket;
  };
  try {
    return await body({ ...options, stream });
  } finally {
    for (const socket of opened) socket.destroy();
  }
}

// The first thing that fails on the way to an answer, by the three ways there.
const attempts = {
  async Client(driver, options, sql = 'SELECT 1') {
    const client = new driver.Client(options);
    client.on('error', () => {});
    const connected = await outcome(client.connect());
    if (connected.error || connected === 'hung') {
      await outcome(client.end());
      return connected;
    }
    const answered = await outcome(client.query(sql));
    await outcome(client.end());
    return answered.value ? { rows: answered.value.rows } : answered;
  },
  async 'pool.query'(driver, options, sql = 'SELECT 1') {
    const pool = new driver.Pool(options);
    pool.on('error', () => {});
    const answered = await outcome(pool.query(sql));
    await outcome(pool.end());
    return answered.value ? { rows: answered.value.rows } : answered;
  },
  async 'pool.connect'(driver, options, sql = 'SELECT 1') {
    const pool = new driver.Pool(options);
    pool.on('error', () => {});
    const lent = await outcome(pool.connect());
    if (!lent.value) {
      await outcome(pool.end());
      return lent;
    }
    lent.value.on('error', () => {});
    const answered = await outcome(lent.value.query(sql));
    lent.value.release(Boolean(answered.error));
    await outcome(pool.end());
    return answered.value ? { rows: answered.value.rows } : answered;
  },
};

/** Each way is called with a driver, options and a statement. */
const ways = Object.fromEntries(
  Object.entries(attempts).map(([name, attempt]) => [
    name,
    (driver, options, sql) => tidied(driver, options, (complete) => attempt(driver, complete, sql)),
  ]),
);

/** The open files of this process, as far as the system tells; sockets are among them. */
function descriptors() {
  try {
    return fs.readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

/** Sockets of this process: what a forgotten connection would leave behind. */
function sockets() {
  try {
    return fs.readdirSync('/proc/self/fd').filter((fd) => isSocket(`/proc/self/fd/${fd}`)).length;
  } catch {
    return 0;
  }
}

function isSocket(file) {
  try {
    return fs.readlinkSync(file).startsWith('socket:');
  } catch {
    return false;
  }
}

/** Fails when sockets that are not there yet at `before` stay open. */
async function socketsBackTo(before) {
  await until(() => sockets() <= before, { what: `the sockets to be ${before} again, not ${sockets()}` });
}

/** A way that leaves no socket behind. pg forgets some of those whose login failed, so only ours is asked. */
function cleanly(way) {
  return async (...args) => {
    const before = sockets();
    const end = await way(...args);
    await socketsBackTo(before);
    return end;
  };
}

/** Collects what nobody caught, until `stop`. */
function watchUncaught() {
  const seen = [];
  const note = (error) => seen.push(told(error));
  process.on('unhandledRejection', note);
  return {
    seen,
    stop: () => process.removeListener('unhandledRejection', note),
  };
}

module.exports = { cleanly, told, outcome, ways, descriptors, sockets, socketsBackTo, watchUncaught };
