'use strict';

// The stack of each checkout: whatever the application has made of `Error`, not for every one
// of many, and no longer than the client is lent.

const clock = { stoppedAt: undefined };
jest.mock('../../lib/async/timers', () => {
  const real = jest.requireActual('../../lib/async/timers');
  return { ...real, monotonicNow: () => clock.stoppedAt ?? real.monotonicNow() };
});

const Cursor = require('pg-cursor');
const { Pool } = require('../..');
const leakDetection = require('../../lib/monitor/leak-detection');
const { config } = require('../support/server');
const { until } = require('../support/until');

const undo = [];
afterEach(async () => {
  clock.stoppedAt = undefined;
  for (const step of undo.splice(0).reverse()) await step();
});

const pool = { _isMeasured: true, _leases: new Map() };

function borrow() {
  return leakDetection.startTracking(pool, borrow);
}

/** The stack that is told of a lease. */
function stackOf(lease) {
  leakDetection.checkedOut(pool, { id: 1 }, { ...lease, isReported: true });
  const [{ stack }] = leakDetection.overdueLeases(pool, 0);
  leakDetection.checkedIn(pool, { id: 1 });
  return stack;
}

/** Defines a property of Error until the test is over. */
function define(name, descriptor) {
  const before = Object.getOwnPropertyDescriptor(Error, name);
  Object.defineProperty(Error, name, { configurable: true, ...descriptor });
  undo.push(() => (before ? Object.defineProperty(Error, name, before) : delete Error[name]));
}

/** As if no time passed. */
function stop() {
  clock.stoppedAt = performance.now();
}

test('the stack begins with the caller, and the limit of the application is as it was', () => {
  for (const limit of [0, 3, Infinity]) {
    define('stackTraceLimit', { value: limit, writable: true });
    const stack = stackOf(borrow());
    expect(stack).toMatch(/^at .*leak-detection\.test\.js/);
    expect(stack.split('\n').length).toBeLessThanOrEqual(10);
    expect(Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit')).toMatchObject({
      value: limit,
      writable: true,
    });
  }
});

test('a limit that cannot be changed is heeded', () => {
  define('stackTraceLimit', { value: 2, writable: false });
  expect(stackOf(borrow()).split('\n')).toHaveLength(2);
  define('stackTraceLimit', { value: 0, writable: false });
  expect(stackOf(borrow())).toBeUndefined();
});

test('an Error that was patched harms nobody', () => {
  const patched = jest.fn(() => {
    throw new Error('patched');
  });
  define('captureStackTrace', { value: patched, writable: true });
  expect(stackOf(borrow())).toContain('leak-detection.test.js');
  expect(patched).not.toHaveBeenCalled();
  define('prepareStackTrace', { value: (_, sites) => sites, writable: true });
  expect(stackOf(borrow())).toMatch(/^at .*leak-detection\.test\.js/);
  define('prepareStackTrace', { value: patched, writable: true });
  expect(stackOf(borrow())).toBeUndefined();
  define('prepareStackTrace', { value: () => null, writable: true });
  expect(stackOf(borrow())).toBeUndefined();
});

test('of many checkouts at once some have a stack, and all while somebody watches', () => {
  stop();
  const isTold = () => borrow().trace !== undefined;
  const many = Array.from({ length: 1000 }, isTold);
  expect(many.filter(Boolean).length).toBeLessThanOrEqual(100);
  const end = leakDetection.captureEveryStack();
  undo.push(end);
  expect(Array.from({ length: 1000 }, isTold).every(Boolean)).toBe(true);
  end();
  clock.stoppedAt += 5;
  expect(Array.from({ length: 1000 }, isTold).filter(Boolean)).toHaveLength(5);
});

test('a lease is forgotten with its end, and a pool that is not measured remembers none', async () => {
  const own = new Pool(config({ max: 2 }));
  const quiet = new Pool(config({ max: 1, monitor: false }));
  undo.push(() => Promise.all([own.end(), quiet.end()]));
  const client = await own.connect();
  expect(own._leases.size).toBe(1);
  client.release();
  expect(own._leases.size).toBe(0);
  const busy = await own.connect();
  busy.query(new Cursor('SELECT generate_series(1, 3)')).read(1, () => {});
  busy.release();
  expect(own._leases.size).toBe(0);
  const lost = await own.connect();
  lost.on('error', () => {});
  await lost.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {});
  await until(() => !lost._queryable);
  lost.release();
  expect(own._leases.size).toBe(0);
  await quiet.query('SELECT 1');
  const unmeasured = await quiet.connect();
  expect(quiet._leases.size).toBe(0);
  unmeasured.release();
});
