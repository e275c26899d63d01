'use strict';

// requireAuth, libpq's require_auth: a server that asks for something else gets no password.

const { Client, ConfigurationError, Pool } = require('../..');
const { config, server } = require('../support/server');
const { ScriptedServer, close, expect: message } = require('../support/scripted-server');
const backend = require('../support/backend-messages');

const failureOf = (options) => {
  const client = new Client(config(options));
  return client.connect().then(
    () => client.end(),
    (error) => error.message,
  );
};

const failed = (required, reason) => `authentication method requirement "${required}" failed: ${reason}`;

(server().embedded ? describe : describe.skip)('requireAuth', () => {
  test.each([
    ['scram_user', 'scram-sha-256', undefined],
    ['scram_user', '!password,!md5', undefined],
    ['scram_user', 'md5', 'server requested SASL authentication'],
    ['md5_user', 'md5,scram-sha-256', undefined],
    ['md5_user', 'scram-sha-256', 'server requested a hashed password'],
    ['clear_user', 'password', undefined],
    ['clear_user', '!password', 'server requested a cleartext password'],
    ['trust_user', 'none', undefined],
    ['trust_user', '!md5', undefined],
    ['trust_user', 'scram-sha-256', 'server did not complete authentication'],
    ['trust_user', '!none', 'server did not complete authentication'],
    ['scram_user', 'none', 'server requested SASL authentication'],
    ['scram_user', 'oauth', 'server requested SASL authentication'],
  ])('%s with %s: %s', async (user, requireAuth, reason) => {
    const wanted = reason && failed(requireAuth, reason);
    const options = server().users[user];
    expect(await failureOf({ ...options, requireAuth })).toBe(wanted);
    expect(await failureOf({ ...options, require_auth: requireAuth })).toBe(wanted);
  });

  test('is a parameter of the connection string', async () => {
    const { user, password } = server().users.clear_user;
    const { host, port, database } = server();
    const connectionString = `postgres://${user}:${password}@${host}:${port}/${database}?require_auth=scram-sha-256`;
    expect(await failureOf({ connectionString })).toBe(
      failed('scram-sha-256', 'server requested a cleartext password'),
    );
  });
});

test('a server that is content without a proof is not believed, and one that wants the password does not get it', async () => {
  for (const [reply, reason] of [
    [backend.authenticationOk(), 'server did not complete authentication'],
    [backend.authenticationCleartextPassword(), 'server requested a cleartext password'],
  ]) {
    const scripted = await ScriptedServer.start([message('startup'), reply, close()]);
    const { port } = scripted;
    const failure = await failureOf({ host: '127.0.0.1', port, ssl: false, requireAuth: 'scram-sha-256' });
    expect(failure).toBe(failed('scram-sha-256', reason));
    expect(scripted.received.map(({ type }) => type)).not.toContain('p');
    await scripted.stop();
  }
});

test.each([
  ['scram', 'invalid require_auth value: "scram"'],
  ['md5,!none', 'negative require_auth method "!none" cannot be mixed with non-negative methods'],
  ['md5,md5', 'require_auth method "md5" is specified more than once'],
])('%s is refused at the first use', async (requireAuth, problem) => {
  const pool = new Pool(config({ requireAuth }));
  const query = async () => pool.query('SELECT 1');
  const failure = await query().catch((error) => error);
  expect(failure).toBeInstanceOf(ConfigurationError);
  expect(failure.problems).toEqual([problem]);
  await pool.end();
});
