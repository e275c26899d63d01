'use strict';

// A server that is no PostgreSQL, or one that closes, stalls or sends rubbish, in each phase of a
// connection. What is plain - an end, a silence - fails as with pg; what breaks the protocol is an
// error that says so. In every case the promise settles, the socket closes, and the same pool serves
// the next query as soon as the server behaves.

const http = require('node:http');
const { once } = require('node:events');
const pg = require('pg');
const Cursor = require('pg-cursor');
const ours = require('../..');
const backend = require('../support/backend-messages');
const {
  ScriptedServer,
  close,
  expect: message,
  reset,
  skipTo,
  stall,
} = require('../support/scripted-server');
const { until } = require('../support/until');
const { outcome, socketsBackTo, sockets, watchUncaught } = require('./trial');

const ROW = backend.simpleResult(['word'], [['well']]);
const healthy = [message('startup'), backend.greeting(), skipTo('Q'), ROW, skipTo('X')];
const ONE = { word: 'well' };

let uncaught;
let open;
beforeEach(() => {
  uncaught = watchUncaught();
  open = sockets();
});
afterEach(async () => {
  uncaught.stop();
  expect(uncaught.seen).toEqual([]);
  await socketsBackTo(open);
});

/** The first connection follows `script`, the later ones are healthy; those that cancel are let be. */
async function withServer(script, body) {
  const later = async (session) => {
    if ((await session.next()).type === 'cancel') await session.run([close()]);
    else await session.run(healthy.slice(1));
  };
  const server = await ScriptedServer.start((number) => (number === 0 ? script : [later]));
  try {
    return await body(
      { host: server.host, port: server.port, user: 'u', password: 'p', database: 'd', max: 1 },
      server,
    );
  } finally {
    await server.stop();
    expect(server.failures).toEqual([]);
  }
}

/** What a pool's query sees, and whether the same pool serves the next one. */
function byPool(driver, script, more) {
  return withServer(script, async (options) => {
    const pool = new driver.Pool({ ...options, ...more });
    const told = [];
    pool.on('error', (error) => told.push(error.message));
    const first = await outcome(pool.query('SELECT word'));
    let next = await outcome(pool.query('SELECT word'));
    // An idle connection may be found dead only by the query that is sent on it.
    if (!next.value) next = await outcome(pool.query('SELECT word'));
    const counts = [pool.totalCount, pool.idleCount, pool.waitingCount];
    await outcome(pool.end());
    return { error: seen(first), rows: next.value?.rows, counts };
  });
}

function byClient(driver, script, more) {
  return withServer(script, async (options) => {
    const client = new driver.Client({ ...options, ...more });
    const told = [];
    client.on('error', (error) => told.push(error.message));
    const connected = await outcome(client.connect());
    const end = connected.error ? connected : await outcome(client.query('SELECT word'));
    await outcome(client.end());
    return { error: seen(end), told };
  });
}

// Whether a reset is met by the connect or by the first read is a matter of luck.
function seen(end) {
  const error = end.error ?? end;
  return error.code === 'ECONNRESET' ? { code: error.code } : error;
}

const login = [message('startup'), backend.greeting()];
const sasl = [message('startup'), backend.authenticationSASL(), message('p')];

const plain = {
  'closes when it is called': [close()],
  'resets when it is called': [reset()],
  'closes after the startup packet': [message('startup'), close()],
  'resets after the startup packet': [message('startup'), reset()],
  'refuses the startup packet': [
    message('startup'),
    backend.errorResponse({ severity: 'FATAL', code: '57P03', message: 'starting up' }),
    close(),
  ],
  'closes after asking for a password': [
    message('startup'),
    backend.authenticationCleartextPassword(),
    message('p'),
    close(),
  ],
  'closes in the middle of SCRAM': [...sasl, close()],
  'closes before it is ready': [message('startup'), backend.authenticationOk(), close()],
  'refuses before it is ready': [
    message('startup'),
    backend.authenticationOk(),
    backend.errorResponse({ severity: 'FATAL', code: '53300', message: 'sorry, too many clients already' }),
    close(),
  ],
  'closes at the first query': [...login, message('Q'), close()],
  'closes in the middle of a row': [...login, message('Q'), ROW.subarray(0, 30), close()],
  'closes between the result and the end': [...login, message('Q'), ROW.subarray(0, ROW.length - 6), close()],
  'is shut down at the first query': [
    ...login,
    message('Q'),
    backend.errorResponse({ severity: 'FATAL', code: '57P01', message: 'terminating connection' }),
    close(),
  ],
};

describe.each(Object.entries(plain))('a server that %s', (_, script) => {
  test('is to a pool what it is to pg’s', async () => {
    const { counts, ...expected } = await byPool(pg, script);
    expect(expected.error).toBeDefined();
    expect(expected.rows).toEqual([ONE]);
    expect(await byPool(ours, script)).toEqual({ ...expected, counts: [1, 1, 0] });
  });

  test('is to a client what it is to pg’s', async () => {
    expect(await byClient(ours, script)).toEqual(await byClient(pg, script));
  });
});

const stalls = {
  'says nothing at all': [stall()],
  'says nothing after the startup packet': [message('startup'), stall()],
  'says nothing after the password': [
    message('startup'),
    backend.authenticationCleartextPassword(),
    message('p'),
    stall(),
  ],
  'says nothing in the middle of SCRAM': [...sasl, stall()],
  'is never ready': [message('startup'), backend.authenticationOk(), stall()],
};

describe.each(Object.entries(stalls))('a server that %s', (_, script) => {
  test('is given up after connectionTimeoutMillis, as by pg', async () => {
    // It holds for the healthy connection, too.
    const more = { connectionTimeoutMillis: 2000 };
    const drivers = [pg, ours];
    const pools = Promise.all(drivers.map((driver) => byPool(driver, script, more)));
    const clients = Promise.all(drivers.map((driver) => byClient(driver, script, more)));
    const [{ counts, ...expected }, pool] = await pools;
    expect(expected.rows).toEqual([ONE]);
    expect(pool).toEqual({ ...expected, counts: [1, 1, 0] });
    const [theirs, client] = await clients;
    expect(client.error).toEqual(theirs.error);
  });
});

const silences = {
  'a query': [...login, message('Q'), stall()],
  'half a row': [...login, message('Q'), ROW.subarray(0, 30), stall()],
  'a result, never ready again': [...login, message('Q'), ROW.subarray(0, ROW.length - 6), stall()],
};

test('a server that stalls in a query is given up after query_timeout, and its connection does not stay taken', async () => {
  const told = Object.entries(silences).map(([after, script]) =>
    withServer(script, async (options) => {
      const pool = new ours.Pool({ ...options, query_timeout: 300 });
      pool.on('error', () => {});
      const first = await outcome(pool.query('SELECT word'));
      const next = await outcome(pool.query({ text: 'SELECT word', query_timeout: 60_000 }));
      await pool.end();
      return [after, first.error?.message, next.value?.rows];
    }),
  );
  expect(await Promise.all(told)).toEqual(
    Object.keys(silences).map((after) => [after, 'Query read timeout', [ONE]]),
  );
});

/** A login whose first message of SCRAM from the server is what `first` makes of the client's nonce. */
const challenged = (first) => [
  message('startup'),
  backend.authenticationSASL(),
  async (session) => {
    const { body } = await session.next();
    const [, nonce] = /r=([^,]*)/.exec(body.toString('latin1'));
    await session.send(backend.authenticationSASLContinue(first(nonce)));
  },
  stall(),
];

const row = (fields) => backend.dataRow(fields);
const broken = {
  'an HTTP server’s answer to the startup packet': [
    message('startup'),
    Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    close(),
  ],
  'rubbish before it is asked': [Buffer.from('220 mail.example.test ESMTP\r\n'), stall()],
  'an unknown authentication': [message('startup'), backend.authentication(99), stall()],
  'a SCRAM challenge that makes no sense': [...sasl, backend.authenticationSASLContinue('rubbish'), stall()],
  'a SCRAM nonce that is not ours': challenged(() => 'r=other,s=AAAA,i=4096'),
  'a SCRAM nonce without a part of its own': challenged((nonce) => `r=${nonce},s=AAAA,i=4096`),
  'a SCRAM challenge without iterations': challenged((nonce) => `r=${nonce}more,s=AAAA,i=0`),
  'a SCRAM challenge of more iterations than it may': challenged((nonce) => `r=${nonce}more,s=AAAA,i=100001`),
  'a message of 2 GB in the login': [message('startup'), backend.lyingMessage('R', 0x7fffffff), stall()],
  'a message of negative length in the login': [message('startup'), backend.lyingMessage('R', -1), stall()],
  'an unknown message in the login': [message('startup'), backend.message('?'), stall()],
  'a row in the login': [message('startup'), backend.authenticationOk(), row(['a']), stall()],
  'an unknown message to a query': [...login, message('Q'), backend.message('?'), stall()],
  'a message of length 3 to a query': [...login, message('Q'), backend.lyingMessage('T', 3), stall()],
  'a message of 2 GB to a query': [...login, message('Q'), backend.lyingMessage('D', 0x7fffffff), stall()],
  'a row before its description': [...login, message('Q'), row(['a']), stall()],
  'a row with a field too many': [
    ...login,
    message('Q'),
    backend.rowDescription(['word']),
    row(['a', 'b']),
    stall(),
  ],
  'a row with a field too few': [...login, message('Q'), backend.rowDescription(['word']), row([]), stall()],
  'a field longer than its row': [
    ...login,
    message('Q'),
    backend.rowDescription(['word']),
    backend.message('D', backend.int16(1), backend.int32(1000), Buffer.from('abc')),
    stall(),
  ],
  'a description cut short': [
    ...login,
    message('Q'),
    backend.message('T', backend.int16(3), Buffer.from('word\0')),
    stall(),
  ],
  'an error cut short': [
    ...login,
    message('Q'),
    backend.message('E', Buffer.from('SERROR\0Mno end')),
    stall(),
  ],
  'a tag without an end': [...login, message('Q'), backend.message('C', Buffer.from('SELECT 1')), stall()],
  'a status nobody knows': [
    ...login,
    message('Q'),
    backend.commandComplete('SELECT 0'),
    backend.message('Z', Buffer.from('?')),
    stall(),
  ],
  'the end without a result': [...login, message('Q'), backend.readyForQuery(), stall()],
  'rows and then the end, without a tag': [
    ...login,
    message('Q'),
    backend.rowDescription(['word']),
    row(['a']),
    backend.readyForQuery(),
    stall(),
  ],
};

describe.each(Object.entries(broken))('a server that sends %s', (_, script) => {
  test('is left with an error that says so', async () => {
    const { error, ...after } = await byPool(ours, script);
    expect(after).toEqual({ rows: [ONE], counts: [1, 1, 0] });
    expect(error.message).toMatch(/receiv|SASL|SCRAM|protocol|authentication|unexpected/i);
    expect((await byClient(ours, script)).error.message).toEqual(error.message);
  });
});

// A submittable reads the server's messages itself, by a parser that trusts them.
const forCursor = [backend.parseComplete(), backend.bindComplete()];
const brokenForCursor = {
  'an error cut short': [backend.message('E', Buffer.from('SERROR\0Mno end'))],
  'a description cut short': [...forCursor, backend.message('T', backend.int16(3), Buffer.from('word'))],
  'a description of minus one columns': [...forCursor, backend.message('T', backend.int16(-1))],
  'a tag without an end': [...forCursor, backend.noData(), backend.message('C', Buffer.from('SELECT 1'))],
  'a field longer than its row': [
    ...forCursor,
    backend.rowDescription(['word']),
    backend.message('D', backend.int16(1), backend.int32(1000), Buffer.from('abc')),
  ],
  'a COPY cut short': [...forCursor, backend.message('H', Buffer.from([0, 0, 9]))],
  'a question for a password': [backend.authentication(255)],
  'a row before its description': [...forCursor, row(['a'])],
};

describe.each(Object.entries(brokenForCursor))('a cursor on a server that sends %s', (_, messages) => {
  test('fails, and the pool serves the next query', async () => {
    await withServer([...login, skipTo('H'), ...messages, stall()], async (options) => {
      const pool = new ours.Pool(options);
      pool.on('error', () => {});
      const client = await pool.connect();
      client.on('error', () => {});
      const cursor = client.query(new Cursor('SELECT word'));
      expect((await outcome(cursor.read(1))).error).toBeDefined();
      client.release(true);
      expect((await outcome(pool.query('SELECT word'))).value?.rows).toEqual([ONE]);
      await pool.end();
    });
  });
});

test('an answer nobody asked for does not become the answer to the next query', async () => {
  const twice = [
    ...login,
    message('Q'),
    Buffer.concat([ROW, ROW]),
    skipTo('Q'),
    backend.simpleResult(['word'], [['second']]),
    stall(),
  ];
  await withServer(twice, async (options) => {
    const client = new ours.Client(options);
    client.on('error', () => {});
    await client.connect();
    const first = await outcome(client.query('SELECT word'));
    expect(first.value.rows).toEqual([ONE]);
    const second = await outcome(client.query('SELECT other'));
    expect(second.value?.rows ?? [{ word: 'second' }]).toEqual([{ word: 'second' }]);
    await client.end();
  });
});

test('a connection lost in the moment it is lent is told to those who listen from then on', async () => {
  const brief = [message('startup'), backend.greeting(), close()];
  for (let i = 0; i < 20; i++) {
    await withServer(brief, async (options) => {
      const pool = new ours.Pool(options);
      pool.on('error', () => {});
      const lent = await pool.connect().catch(() => null);
      if (lent) {
        const told = new Promise((resolve) => lent.on('error', resolve));
        expect((await told).message).toBe('Connection terminated unexpectedly');
        lent.release();
      }
      await pool.end();
    });
  }
});

test('a login that never ends does not fill the memory', async () => {
  const setting = backend.parameterStatus('name', 'x'.repeat(60_000));
  const endless = [
    message('startup'),
    backend.authenticationOk(),
    async ({ socket }) => {
      while (!socket.destroyed) {
        if (!socket.write(setting))
          await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {});
      }
    },
  ];
  const before = process.memoryUsage().rss;
  const { error, rows } = await byPool(ours, endless);
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
  expect(error.message).toMatch(/login/);
  expect(rows).toEqual([ONE]);
});

test('a server that speaks HTTP is no PostgreSQL', async () => {
  const server = http.createServer((request, response) => response.end('hello')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address();
    for (const ssl of [false, true]) {
      const options = { host: '127.0.0.1', port, user: 'u', password: 'p', database: 'd', ssl };
      const theirs = new pg.Client(options);
      theirs.on('error', () => {});
      const expected = await outcome(theirs.connect());
      await outcome(theirs.end());
      const client = new ours.Client(options);
      client.on('error', () => {});
      const { error } = await outcome(client.connect());
      await client.end();
      const pool = new ours.Pool(options);
      expect((await outcome(pool.query('SELECT 1'))).error).toEqual(error);
      await pool.end();
      if (ssl) expect(error).toEqual(expected.error);
      else expect(error.message).toMatch(/received a message of type 48 with an impossible length/);
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('notices, settings and notifications between any two messages disturb nothing', async () => {
  const noise = Buffer.concat([
    backend.noticeResponse(),
    backend.parameterStatus('application_name', 'x'),
    backend.notificationResponse('channel', 'payload'),
  ]);
  const parts = [
    backend.rowDescription(['word']),
    row(['well']),
    backend.commandComplete('SELECT 1'),
    backend.readyForQuery(),
  ];
  const noisy = [
    ...login,
    noise,
    message('Q'),
    ...parts.flatMap((part) => [noise, part]),
    noise,
    skipTo('X'),
  ];
  await withServer(noisy, async (options) => {
    const client = new ours.Client(options);
    const heard = { notice: 0, notification: 0 };
    for (const event of Object.keys(heard)) client.on(event, () => (heard[event] += 1));
    await client.connect();
    expect((await client.query('SELECT word')).rows).toEqual([ONE]);
    await until(() => heard.notice === 6 && heard.notification === 6, { what: 'six of each' });
    await client.end();
  });
});

test('a server that makes SCRAM as hard as it may keeps no other connection waiting', async () => {
  await withServer(
    challenged((nonce) => `r=${nonce}more,s=AAAAAAAAAAAAAAAA,i=100000`),
    async (options, server) => {
      const hardWorking = new ours.Client({ ...options, password: 'p'.repeat(60_000) });
      const connecting = outcome(hardWorking.connect());
      await until(() => server.received.some(({ type }) => type === 'p'));
      const other = new ours.Pool(options);
      const order = [];
      connecting.then(() => order.push('the hard one'));
      expect((await outcome(other.query('SELECT word'))).value.rows).toEqual([ONE]);
      order.push('the other');
      await hardWorking.end();
      expect((await connecting).error.message).toBe('Connection terminated');
      expect(order).toEqual(['the other', 'the hard one']);
      await other.end();
    },
  );
});
