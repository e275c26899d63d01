'use strict';

// Servers that speak less of the protocol than PostgreSQL, or speak it otherwise, as poolers and relatives do. What
// works there under pg works with this package.

const { alike } = require('./alike');
const ours = require('../../index.js');
const { ScriptedServer, expect: message, stall } = require('../support/scripted-server');
const backend = require('../support/backend-messages');

const {
  authenticationOk,
  backendKeyData,
  bindComplete,
  closeComplete,
  commandComplete,
  dataRow,
  errorResponse,
  notificationResponse,
  parameterDescription,
  parseComplete,
  readyForQuery,
  rowDescription,
} = backend;

const nameIn = (body, from = 0) => body.toString('latin1', from, body.indexOf(0, from));
const STALL = Symbol('stall');
const COLUMN = [{ name: 'echo' }];

// The answers of a server to each message, until it refuses one: then it skips to the Sync.
const ANSWERS = {
  P: () => parseComplete(),
  B: () => bindComplete(),
  D: (body) =>
    body[0] === 0x53
      ? Buffer.concat([parameterDescription([25]), rowDescription(COLUMN)])
      : rowDescription(COLUMN),
  E: () => Buffer.concat([dataRow(['answer']), commandComplete('SELECT 1')]),
  C: () => closeComplete(),
};

/** Serves extended queries, but for what `refusal` has an error for. */
const serve =
  (refusal = () => undefined) =>
  async (session) => {
    let isSkipping = false;
    let status = 'I';
    for (;;) {
      const { type, body } = await session.next();
      if (type === 'X') return;
      if (type === 'S') {
        if (isSkipping && status === 'T') status = 'E';
        isSkipping = false;
        await session.send(readyForQuery(status));
      } else if (type === 'Q') {
        status = nameIn(body) === 'BEGIN' ? 'T' : 'I';
        await session.send(Buffer.concat([commandComplete(nameIn(body)), readyForQuery(status)]));
      } else if (!isSkipping) {
        const error = refusal(type, body);
        if (error === STALL) return stall()(session);
        isSkipping = error !== undefined;
        if (error !== undefined || type !== 'H') await session.send(error ?? ANSWERS[type](body));
      }
    }
  };

const refused = (code) => errorResponse({ severity: 'ERROR', code, message: 'not supported here' });

/** How five queries end; the same text and others. */
async function queries(
  driver,
  server,
  texts = ['SELECT $1', 'SELECT $1', 'SELECT 2, $1', 'SELECT $1', 'SELECT 3, $1'],
) {
  const pool = new driver.Pool({ ...at(server), max: 1, statementCacheSize: 1 });
  pool.on('error', () => {});
  const ends = [];
  try {
    for (const text of texts) {
      ends.push(
        await pool.query(text, /SELECT/.test(text) ? ['x'] : undefined).then(
          ({ rows }) => rows,
          ({ code }) => code,
        ),
      );
    }
  } finally {
    await pool.end();
  }
  return ends;
}

const at = ({ host, port }) => ({ host, port, user: 'somebody', database: 'anything', ssl: false });

async function withServer(script, body) {
  const server = await ScriptedServer.start(script);
  try {
    return await body(server);
  } finally {
    await server.stop();
  }
}

const greeting = (...more) => [message('startup'), authenticationOk(), ...more, readyForQuery('I')];

const REFUSALS = {
  'statements with a name': (type, body) => type === 'P' && nameIn(body) !== '',
  'Describe of a statement': (type, body) => type === 'D' && body[0] === 0x53,
  Close: (type) => type === 'C',
};

describe.each(Object.entries(REFUSALS))('a server that refuses %s', (_, isRefused) => {
  for (const code of ['0A000', '08P01', 'XX000', '42601']) {
    alike(`with ${code} answers queries with values`, (driver) =>
      withServer(
        [...greeting(backendKeyData()), serve((...of) => (isRefused(...of) ? refused(code) : undefined))],
        (server) => queries(driver, server),
      ),
    );
  }

  alike('answers them in a transaction', (driver) =>
    withServer(
      [...greeting(backendKeyData()), serve((...of) => (isRefused(...of) ? refused('0A000') : undefined))],
      (server) => queries(driver, server, [...Array(5).fill('SELECT $1'), 'BEGIN', 'SELECT 2, $1', 'COMMIT']),
    ),
  );

  test('is asked once', () =>
    withServer(
      [...greeting(backendKeyData()), serve((...of) => (isRefused(...of) ? refused('0A000') : undefined))],
      async (server) => {
        await queries(ours, server);
        expect(server.received.filter(({ type, body }) => isRefused(type, body))).toHaveLength(1);
      },
    ));
});

alike('a statement that any server refuses is refused with its own error', (driver) =>
  withServer(
    [...greeting(backendKeyData()), serve((type) => (type === 'P' ? refused('42601') : undefined))],
    (server) => queries(driver, server),
  ),
);

// Protocol 3.2 allows up to 256 bytes; a server may also have a shorter one.
describe.each([4, 8, 32, 256])('a cancel key whose secret has %i bytes', (length) => {
  const secret = Buffer.alloc(length, 7);
  const script = () => [...greeting(backendKeyData(99, secret)), serve()];

  alike('does not disturb the login', (driver) =>
    withServer(script(), async (server) => {
      const client = new driver.Client(at(server));
      await client.connect();
      const { processID, secretKey } = client;
      await client.end();
      return { processID, secretKey };
    }),
  );

  test('comes back whole in the cancel request', async () => {
    const serveSilently = serve((type) => (type === 'E' ? STALL : undefined));
    const server = await ScriptedServer.start((number) =>
      number === 0 ? [...greeting(backendKeyData(99, secret)), serveSilently] : [message('cancel')],
    );
    const pool = new ours.Pool({ ...at(server), max: 1 });
    pool.on('error', () => {});
    try {
      await expect(pool.query({ text: 'SELECT $1', values: [1], query_timeout: 50 })).rejects.toThrow(
        'Query read timeout',
      );
      await pool.end();
      const request = server.received.find(({ type }) => type === 'cancel');
      expect(request.body.subarray(-length)).toEqual(secret);
    } finally {
      await server.stop();
    }
  });
});

alike('a server without a cancel key has no process id', (driver) =>
  withServer([...greeting(), serve()], async (server) => {
    const client = new driver.Client(at(server));
    const told = [];
    client.connection.on('backendKeyData', () => told.push('key'));
    await client.connect();
    const { processID, secretKey } = client;
    const { rows } = await client.query('SELECT $1', ['x']);
    await client.end();
    return { processID, secretKey, rows, told };
  }),
);

test('a server without a cancel key is sent no cancel request, and its connection is closed at once', () =>
  withServer([...greeting(), serve((type) => (type === 'E' ? STALL : undefined))], async (server) => {
    const pool = new ours.Pool({ ...at(server), max: 1 });
    pool.on('error', () => {});
    const closed = new Promise((resolve) => pool.once('remove', resolve));
    await expect(pool.query({ text: 'SELECT $1', values: [1], query_timeout: 50 })).rejects.toThrow(
      'Query read timeout',
    );
    await closed;
    expect(server.received.filter(({ type }) => type === 'cancel')).toEqual([]);
    await pool.end();
  }));

alike('a notification during the login does not disturb it', (driver) =>
  withServer([...greeting(backendKeyData(), notificationResponse('channel', 'payload')), serve()], (server) =>
    queries(driver, server),
  ),
);

describe.each(['pgbouncer=true', 'statementCacheSize=0'])('a connection string with %s', (parameter) => {
  const withNames = (use) =>
    withServer([...greeting(backendKeyData()), serve()], async (server) => {
      const connectionString = `postgres://somebody@${server.host}:${server.port}/anything?${parameter}`;
      const rows = await use({ connectionString });
      const names = server.received.filter(({ type }) => type === 'P').map(({ body }) => nameIn(body));
      return { rows, names };
    });

  alike('has a client name no statement', (driver) =>
    withNames(async (options) => {
      const client = new driver.Client(options);
      await client.connect();
      const { rows } = await client.query('SELECT $1', ['x']);
      await client.end();
      return rows;
    }),
  );

  alike('has a pool name none', (driver) =>
    withNames(async (options) => {
      const pool = new driver.Pool(options);
      const { rows } = await pool.query('SELECT $1', ['x']);
      await pool.end();
      return rows;
    }),
  );
});
