'use strict';

// What is secret is used and never shown: printing or serialising a pool, a client or their options tells
// no password and no private key, and everything else of them.

const { inspect } = require('node:util');
const { Client, Pool } = require('..');

const SECRET = 'geheim@2/3';

function shown(given) {
  const pool = new Pool(given);
  const client = new Client(given);
  const things = [pool, pool.options, client, client.connection, client.connectionParameters];
  return things.map((thing) => inspect(thing, { depth: 20 }) + json(thing)).join('\n');
}

function json(thing) {
  try {
    return JSON.stringify(thing);
  } catch {
    // A cycle, as under pg.
    return '';
  }
}

test.each([
  ['a password', () => ({ user: 'somebody', password: SECRET })],
  [
    'a connection string',
    () => ({ connectionString: `postgres://somebody:${encodeURIComponent(SECRET)}@host:5432/database` }),
  ],
  [
    'a connection string with an unescaped password',
    () => ({ connectionString: 'postgres://somebody:geheim@2@host:5432/database' }),
  ],
  [
    'a connection string with several hosts',
    () => ({ connectionString: `postgres://somebody:geheim@a:5432,b:5433/database` }),
  ],
  [
    'a connection string with the password among the parameters',
    () => ({ connectionString: 'postgres://host/database?user=somebody&password=geheim' }),
  ],
  [
    'a private key and its passphrase',
    () => ({ user: 'somebody', ssl: { key: SECRET, passphrase: SECRET } }),
  ],
  ['a PKCS #12 file', () => ({ user: 'somebody', ssl: { pfx: SECRET, passphrase: SECRET } })],
])('%s is not shown', (_, given) => {
  const text = shown(given());
  expect(text).not.toContain('geheim');
  expect(text).toContain('somebody');
});

test('a pool made of the options of another one connects to the same place', () => {
  const connectionString = 'postgres://somebody:geheim@host:5432/database';
  const { options } = new Pool({ connectionString, max: 3 });
  expect(options.connectionString).toBe(connectionString);
  expect(new Pool({ ...options }).options).toMatchObject({ connectionString, max: 3 });
});

test('frozen options are used, and their keys not shown', () => {
  const ssl = Object.freeze({ key: SECRET, passphrase: SECRET, rejectUnauthorized: false });
  const options = Object.freeze({ user: 'somebody', ssl });
  for (const used of [new Pool(options).options.ssl, new Client(options).ssl]) {
    expect([used.key, used.passphrase, used.rejectUnauthorized]).toEqual([SECRET, SECRET, false]);
  }
  expect(shown(options)).not.toContain('geheim');
  const plain = Object.freeze({ rejectUnauthorized: false });
  expect(new Client({ ssl: plain }).ssl).toBe(plain);
});
