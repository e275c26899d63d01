'use strict';

// What the core says of a failure becomes the error that pg or Node would have given.

const net = require('node:net');
const { DatabaseError: PgDatabaseError } = require('pg');
const { admin } = require('./support/server');
const { closedPort } = require('./support/ports');
const errors = require('../lib/errors');

const { fromNative } = errors;

const own = (error) =>
  Object.entries(Object.getOwnPropertyDescriptors(error))
    .filter(([name]) => name !== 'stack')
    .map(([name, { value, enumerable }]) => [name, value, enumerable]);

const failureOf = (...target) =>
  new Promise((resolve, reject) => {
    const socket = net.connect(...target);
    socket.on('error', resolve);
    socket.on('connect', () => {
      socket.destroy();
      reject(new Error('somebody answered'));
    });
  });

test('an error of the server is as under pg', async () => {
  const expected = await admin('SELECT 1/0').catch((error) => error);
  const actual = fromNative(JSON.stringify({ kind: 'database', message: expected.message, ...expected }));
  expect(expected).toBeInstanceOf(PgDatabaseError);
  expect(actual).toBeInstanceOf(errors.DatabaseError);
  expect(own(actual)).toEqual(own(expected));
  expect(String(actual)).toBe('error: division by zero');
});

test('a notice is no error and has the fields of one', () => {
  const notice = errors.noticeFromNative({
    length: 9,
    message: 'mind the step',
    severity: 'NOTICE',
    code: '00000',
    detail: null,
  });
  expect(notice).not.toBeInstanceOf(Error);
  expect(notice).toMatchObject({
    name: 'notice',
    message: 'mind the step',
    length: 9,
    severity: 'NOTICE',
    code: '00000',
  });
  expect(Object.keys(notice)).toHaveLength(19);
  expect(notice.detail).toBeUndefined();
});

test('a failed connect is as Node describes it', async () => {
  const port = await closedPort();
  for (const target of [[port, '127.0.0.1'], ['/nowhere/.s.PGSQL.1']]) {
    const expected = await failureOf(...target);
    const { code, syscall, address, port: refused } = expected;
    expect(own(fromNative({ kind: 'system', code, syscall, address, port: refused }))).toEqual(own(expected));
  }
});

test('a host that cannot be found, and a connection that was reset, are as Node describes them', () => {
  const missing = fromNative({
    kind: 'system',
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
    hostname: 'nowhere.invalid',
  });
  expect(own(missing)).toEqual([
    ['message', 'getaddrinfo ENOTFOUND nowhere.invalid', false],
    ['errno', -3008, true],
    ['code', 'ENOTFOUND', true],
    ['syscall', 'getaddrinfo', true],
    ['hostname', 'nowhere.invalid', true],
  ]);
  const reset = fromNative({ kind: 'system', code: 'ECONNRESET', syscall: 'read' });
  expect(reset).toMatchObject({ message: 'read ECONNRESET', syscall: 'read' });
  expect(Object.keys(reset)).toEqual(['errno', 'code', 'syscall']);
});

test('a host all of whose addresses failed is an AggregateError', () => {
  const refused = (address) => ({
    kind: 'system',
    code: 'ECONNREFUSED',
    syscall: 'connect',
    address,
    port: 5432,
  });
  const error = fromNative({ kind: 'aggregate', errors: [refused('::1'), refused('127.0.0.1')] });
  expect(error).toBeInstanceOf(AggregateError);
  expect(error).toMatchObject({ message: '', code: 'ECONNREFUSED' });
  expect(error.errors.map(({ message }) => message)).toEqual([
    'connect ECONNREFUSED ::1:5432',
    'connect ECONNREFUSED 127.0.0.1:5432',
  ]);
});

test('a timeout of an acquire says how full the pool was and why nothing came', () => {
  const error = fromNative({
    kind: 'acquire',
    message: 'timeout exceeded when trying to connect',
    total: 3,
    idle: 0,
    used: 3,
    waiting: 7,
    tier: 'admin',
    cause: { kind: 'plain', message: 'no route', code: 'X' },
  });
  expect(error).toBeInstanceOf(errors.AcquireTimeoutError);
  expect(error).toMatchObject({
    name: 'AcquireTimeoutError',
    total: 3,
    idle: 0,
    used: 3,
    waiting: 7,
    tier: 'admin',
    code: 'ACQUIRE_TIMEOUT',
  });
  expect(error.cause).toMatchObject({ message: 'no route', code: 'X' });
});

test.each([
  ['circuit', 'CircuitOpenError', 'CIRCUIT_OPEN'],
  ['budget', 'RetryBudgetError', 'RETRY_BUDGET_SPENT'],
  ['full', 'PoolFullError', 'POOL_FULL'],
])('%s becomes %s with a stable code', (kind, name, code) => {
  const error = fromNative({ kind, message: 'because' });
  expect(error).toBeInstanceOf(errors[name]);
  expect(error).toMatchObject({ name, code, message: 'because' });
});

test('the pool of an error without a tier has none, rather than null', () => {
  expect(
    fromNative({ kind: 'full', message: 'full', waiting: 1, maxWaiting: 1, tier: null }).tier,
  ).toBeUndefined();
});

test('type and unknown kinds', () => {
  expect(fromNative({ kind: 'type', message: 'no' })).toBeInstanceOf(TypeError);
  const plain = fromNative({ kind: 'toString', message: 'what', cause: { kind: 'plain', message: 'why' } });
  expect(plain.constructor).toBe(Error);
  expect(plain.cause.message).toBe('why');
});
