'use strict';

// What `client.connection` and the client tell of a login while it goes on, for each way of authenticating.

const { createHash, createHmac, pbkdf2Sync, randomBytes } = require('node:crypto');
const ours = require('../..');
const { alike, outcome } = require('./alike');
const { admin, config, server } = require('../support/server');

const STEPS = [
  'connect',
  'sslconnect',
  'authenticationOk',
  'authenticationCleartextPassword',
  'authenticationMD5Password',
  'authenticationSASL',
  'authenticationSASLContinue',
  'authenticationSASLFinal',
  'parameterStatus',
  'backendKeyData',
  'readyForQuery',
  'errorMessage',
];

// Differs from login to login: nonces, salts, keys.
const VARYING = new Set(['salt', 'data', 'processID', 'secretKey']);

function shown(message) {
  if (message === undefined) return undefined;
  const plain = {};
  for (const [key, value] of Object.entries(message)) {
    plain[key] = VARYING.has(key) ? `${typeof value} ${Buffer.isBuffer(value) ? value.length : ''}` : value;
  }
  return plain;
}

/** Logs in, out again, and tells what was told meanwhile. */
async function login(driver, config, { messages = false } = {}) {
  const client = new driver.Client(config);
  const notes = [];
  const sessions = [];
  const note = (name, message) => {
    if (name === 'parameterStatus' && notes.at(-1)?.[0] === name) return;
    notes.push(name === 'parameterStatus' ? [name] : [name, shown(message)]);
    if (name.startsWith('authenticationSASL'))
      sessions.push(client.saslSession && [client.saslSession.mechanism]);
  };
  if (messages) client.connection.on('message', (message) => note(message.name, message));
  else for (const name of STEPS) client.connection.on(name, (message) => note(name, message));
  const { error } = await outcome(client.connect().then(() => notes.push(['connected'])));
  await client.end();
  return {
    notes,
    error: error && [error.message, error.code],
    session: client.saslSession && client.saslSession.mechanism,
    sessions: sessions.slice(1, 2),
  };
}

const as = (user, config, more) => config({ ...server().users[user], ...more });

(server().embedded ? describe : describe.skip)('a login is told step by step', () => {
  alike('with SCRAM', (driver, config) => login(driver, as('scram_user', config)));
  alike('with md5', (driver, config) => login(driver, as('md5_user', config)));
  alike('with a password in clear', (driver, config) => login(driver, as('clear_user', config)));
  alike('with no password at all', (driver, config) => login(driver, as('trust_user', config)));
  alike('through TLS', (driver, config) =>
    login(driver, as('tls_only', config, { ssl: { rejectUnauthorized: false } })),
  );
  alike('bound to its TLS channel', (driver, config) =>
    login(driver, as('tls_only', config, { ssl: { rejectUnauthorized: false }, enableChannelBinding: true })),
  );
  alike('bound to its TLS channel, which Node encrypts', (driver, config) =>
    login(
      driver,
      as('tls_only', config, {
        host: 'localhost',
        ssl: { ca: server().ca, checkServerIdentity: () => undefined },
        enableChannelBinding: true,
      }),
    ),
  );
  alike('as messages of every kind', (driver, config) =>
    login(driver, as('scram_user', config), { messages: true }),
  );
});

/** What the server stores of a password, so that a login takes that many iterations. */
function verifier(password, iterations, salt = randomBytes(16)) {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const key = (name) => createHmac('sha256', salted).update(name).digest();
  const stored = createHash('sha256').update(key('Client Key')).digest('base64');
  const parts = [
    `${iterations}:${salt.toString('base64')}`,
    `${stored}:${key('Server Key').toString('base64')}`,
  ];
  return `SCRAM-SHA-256$${parts.join('$')}`;
}

(server().embedded ? describe : describe.skip)('the iterations of SCRAM', () => {
  const user = { user: `slow_${randomBytes(4).toString('hex')}`, password: randomBytes(12).toString('hex') };
  beforeAll(() => admin(`CREATE ROLE ${user.user} LOGIN PASSWORD '${verifier(user.password, 120_000)}'`));
  afterAll(() => admin(`DROP ROLE ${user.user}`));

  // The server complains to pg, whose socket stays open.
  const withMost = (scramMaxIterations) => async (driver, config) => {
    const { error } = await login(driver, config({ ...user, database: 'postgres', scramMaxIterations }));
    return { error };
  };
  alike('are 100,000 at most', withMost(undefined));
  alike('are as many as scramMaxIterations says', withMost(120_000));
  alike('are no more than scramMaxIterations says', withMost(119_999));
  alike('are any number where it is 0', withMost(0));
});

(server().embedded ? describe : describe.skip)('a password is prepared as the server does it', () => {
  const names = [];
  const withPassword = async (password) => {
    const user = `prepared_${randomBytes(4).toString('hex')}`;
    names.push(user);
    await admin(`CREATE ROLE ${user} LOGIN PASSWORD '${password}'`);
    return { user, password, database: 'postgres' };
  };
  afterAll(async () => {
    for (const name of names) await admin(`DROP ROLE ${name}`);
  });

  const passwords = {
    'a soft hyphen in it': 'I\u00adX',
    'a space beyond ASCII': 'a\u00a0b',
    'a letter of many': '\u2168',
  };
  for (const [name, password] of Object.entries(passwords)) {
    alike(`with ${name}`, async (driver, config) => {
      const { error } = await login(driver, config(await withPassword(password)));
      return { error };
    });
  }

  test('with nothing but soft hyphens, which pg cannot', async () => {
    for (const password of ['\u00ad', '\u00ad\u00ad']) {
      const { error } = await login(ours, config(await withPassword(password)));
      expect(error).toBeUndefined();
    }
  });
});

(server().embedded ? describe : describe.skip)('a pool whose password changes', () => {
  const user = `changed_${randomBytes(4).toString('hex')}`;
  const salt = randomBytes(16);
  const setPassword = (password, iterations) =>
    admin(`ALTER ROLE ${user} PASSWORD '${verifier(password, iterations, salt)}'`);
  beforeAll(() => admin(`CREATE ROLE ${user} LOGIN`));
  afterAll(() => admin(`DROP ROLE ${user}`));

  alike(
    'logs in with the one that is right, though its salt is that of the one before',
    async (driver, config) => {
      let password;
      // Each query has a connection of its own.
      const pool = new driver.Pool(
        config({ user, database: 'postgres', password: () => password, max: 3, maxUses: 1 }),
      );
      const codes = [];
      const ask = () => outcome(pool.query('SELECT 1'));
      for (const [given, set, iterations] of [
        ['first', 'first', 4096],
        ['second', 'first', 4096],
        ['second', 'second', 4096],
        ['first', 'second', 4096],
        ['first', 'first', 4097],
      ]) {
        await setPassword(set, iterations);
        password = given;
        const outcomes = await Promise.all([ask(), ask(), ask()]);
        codes.push(outcomes.map(({ error }) => error?.code));
      }
      await pool.end();
      return codes;
    },
  );
});

describe('a login that fails is told as far as it came', () => {
  alike('with a wrong password', (driver, config) => login(driver, config({ password: 'wrong' })));
  alike('with a database that does not exist', (driver, config) =>
    login(driver, config({ database: 'nowhere' })),
  );
});
