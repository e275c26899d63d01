'use strict';

// Rows without columns of their own: a server describes a result twice, sends rows after an error, or leaves a result
// open. No request is given values of another connection, or of the request before it; what breaks the protocol closes
// its connection.

const ours = require('../..');
const backend = require('../support/backend-messages');
const { ScriptedServer, expect: message, stall } = require('../support/scripted-server');
const { outcome, watchUncaught } = require('./trial');

const SECRET = 'the secret of another tenant';
const NARROW = backend.rowDescription(['word']);
const WIDE = backend.rowDescription(Array.from({ length: 60 }, (_, i) => `word${i}`));
const ROW = backend.dataRow(['stray']);
const END = [backend.commandComplete('SELECT 1'), backend.readyForQuery()];
const ERROR = backend.errorResponse();
const PREPARED = [backend.parseComplete(), NARROW, backend.bindComplete()];

let uncaught;
beforeEach(() => {
  uncaught = watchUncaught();
});
afterEach(() => {
  uncaught.stop();
  expect(uncaught.seen).toEqual([]);
});

/** One connection whose results fill the memory of frames, and one that follows `answers`, a message per query. */
async function between(answers, body) {
  const secrets = backend.simpleResult(['secret'], Array(2000).fill([SECRET]));
  const server = await ScriptedServer.start(() => [
    message('startup'),
    backend.greeting(),
    async (session) => {
      for (;;) {
        const { type, body: text } = await session.next();
        if (type === 'Q' && text.includes('secret')) await session.run([secrets]);
        else if (type === 'Q' || type === 'S')
          await session.run(answers.length > 0 ? answers.shift() : [stall()]);
      }
    },
  ]);
  const options = { host: server.host, port: server.port, user: 'u', password: 'p', database: 'd' };
  const tenant = new ours.Client(options);
  const client = new ours.Client(options);
  client.on('error', () => {});
  try {
    await tenant.connect();
    await client.connect();
    expect((await tenant.query('SELECT secret')).rows).toHaveLength(2000);
    return await body(client);
  } finally {
    await tenant.end();
    await client.end();
    await server.stop();
    expect(server.failures).toEqual([]);
  }
}

const ask = {
  'a simple query': (client) => client.query('SELECT word'),
  'a query with values': (client) => client.query('SELECT $1 AS word', ['x']),
  'a query of rows as arrays': (client) => client.query({ text: 'SELECT word', rowMode: 'array' }),
};
const breaches = {
  'columns between rows': [ROW, WIDE, ...END],
  'fewer columns between rows': [ROW, backend.rowDescription([]), ...END],
  'no columns between rows': [ROW, backend.noData(), ...END],
  'no columns and then the end': [ROW, backend.noData(), backend.readyForQuery()],
  'a result that is left open': [ROW, END[0], NARROW, ROW, END[1]],
  'a row behind the tag': [ROW, END[0], ROW, END[1]],
};

describe.each(Object.entries(ask))('%s', (name, query) => {
  const head = name === 'a query with values' ? PREPARED : [NARROW];

  test.each(Object.entries(breaches))('is refused with %s', async (_, messages) => {
    await between([[Buffer.concat([...head, ...messages])]], async (client) => {
      const { error, value } = await outcome(query(client));
      expect(value).toBeUndefined();
      expect(error.message).toMatch(/^Received unexpected \w+ message from backend\.$/);
      expect((await outcome(query(client))).error).toBeDefined();
    });
  });

  test('does not get a row that follows the error of the one before', async () => {
    const first = Buffer.concat([...head, ROW, ERROR, ROW, backend.readyForQuery()]);
    const second = Buffer.concat([...head, ...END]);
    await between([[first], [second]], async (client) => {
      expect((await outcome(query(client))).error.message).toBe('scripted error');
      const { value } = await outcome(query(client));
      expect(value === undefined ? [] : value.rows).toEqual([]);
    });
  });
});

test('a prepared statement does not get a row that was described behind the error of the one before', async () => {
  const bound = backend.bindComplete();
  const answers = [
    [Buffer.concat([...PREPARED, ROW, ...END])],
    [Buffer.concat([bound, ERROR, NARROW, ROW, backend.readyForQuery()])],
    [Buffer.concat([bound, ...END])],
  ];
  await between(answers, async (client) => {
    const query = ask['a query with values'];
    expect((await query(client)).rows).toEqual([{ word: 'stray' }]);
    expect((await outcome(query(client))).error.message).toBe('scripted error');
    const { error } = await outcome(query(client));
    expect(error.message).toBe('Received unexpected rowDescription message from backend.');
  });
});
