'use strict';

// pg's Connection made by the user: it opens a socket of its own, writes one message per method and tells
// what arrives. Run with pg and with this package, against a server on a script.

const { EventEmitter } = require('node:events');
const { alike, inProcess, journal, thrown, told } = require('./alike');
const backend = require('../support/backend-messages');
const { ScriptedServer, close, expect: wait, forever, stall } = require('../support/scripted-server');
const { until } = require('../support/until');

const GREETING = [wait('startup'), backend.authenticationOk(), backend.readyForQuery()];
const ONE = [
  backend.parseComplete(),
  backend.bindComplete(),
  backend.rowDescription(['n']),
  backend.dataRow(['1']),
  backend.commandComplete('SELECT 1'),
];

/** Runs `body` with a connection to a server that follows the script. */
async function connected(driver, script, body, options = {}) {
  const server = await ScriptedServer.start(script);
  const connection = new driver.Connection(options);
  const notes = journal(connection, ['connect', 'sslconnect', 'error', 'end']);
  connection.on('message', (message) => notes.push(message.name));
  try {
    connection.connect(server.port, server.host);
    return await body(connection, notes, server);
  } finally {
    connection.end();
    await server.stop();
  }
}

/** A stream that remembers what was written to it. */
class Memory extends EventEmitter {
  writable = true;
  written = [];
  ended = false;
  setNoDelay() {}
  connect(port, host) {
    this.target = [port, host];
  }
  write(bytes, done) {
    this.written.push(bytes.toString('latin1'));
    if (done) done();
    return true;
  }
  end() {
    this.ended = true;
  }
}

alike('tells what the server says, message by message', (driver) =>
  connected(
    driver,
    [
      ...GREETING,
      wait('Q'),
      backend.rowDescription(['n']),
      backend.dataRow(['1']),
      backend.commandComplete('SELECT 1'),
      backend.readyForQuery(),
      stall(),
    ],
    async (connection, notes) => {
      const rows = [];
      connection.on('connect', () => connection.startup({ user: 'me', database: 'mine' }));
      connection.once('readyForQuery', () => connection.query('SELECT 1 AS n'));
      connection.on('dataRow', ({ fields }) => rows.push(fields));
      await until(() => notes.includes('commandComplete'));
      return [notes.slice(0, 6), rows];
    },
  ),
);

alike('runs a portal by flushes, and is ready after its Sync', (driver) =>
  connected(
    driver,
    [...GREETING, wait('PBEH'), ...ONE, wait('S'), backend.readyForQuery(), stall()],
    async (connection, notes) => {
      connection.on('connect', () => connection.startup({ user: 'me' }));
      connection.once('readyForQuery', () => {
        connection.parse({ text: 'SELECT $1' });
        connection.bind({ values: ['1'] });
        connection.execute();
        connection.flush();
      });
      connection.on('commandComplete', () => connection.sync());
      await until(() => notes.filter((note) => note === 'readyForQuery').length === 2);
      return [...notes];
    },
  ),
);

alike('an error of the server is an event of its own', (driver) =>
  connected(
    driver,
    [wait('startup'), backend.errorResponse({ S: 'FATAL', C: '28000', M: 'go away' }), close()],
    async (connection, notes) => {
      const errors = [];
      connection.on('errorMessage', (error) =>
        errors.push(told(error), error instanceof driver.DatabaseError),
      );
      connection.on('connect', () => connection.startup({ user: 'me' }));
      await until(() => notes.includes('end'));
      return [errors, [...notes]];
    },
  ),
);

for (const letter of ['N', 'E']) {
  alike(`an answer of ${letter} to the wish for TLS is an error`, (driver) =>
    connected(
      driver,
      [wait('ssl'), Buffer.from(letter), stall()],
      async (connection, notes) => {
        connection.on('connect', () => connection.requestSsl());
        await until(() => notes.length >= 2);
        return notes.slice(0, 2);
      },
      { ssl: true },
    ),
  );
}

alike('writes every message as the protocol has it', (driver) => {
  const stream = new Memory();
  const connection = new driver.Connection({ stream });
  connection.connect(4711, 'somewhere');
  connection.startup({ user: 'me', database: 'mine' });
  connection.requestSsl();
  connection.cancel(1, 2);
  connection.password('secret');
  connection.sendSASLInitialResponseMessage('mechanism', 'response');
  connection.sendSCRAMClientFinalMessage('final');
  connection.query('SELECT 1');
  connection.parse({ name: 'a', text: 'SELECT $1', types: [23] });
  connection.bind({ portal: 'p', statement: 'a', values: ['1', null, Buffer.from([0, 255])], binary: true });
  connection.describe({ type: 'P', name: 'p' });
  connection.execute({ portal: 'p', rows: 5 });
  connection.close({ type: 'S', name: 'a' });
  connection.flush();
  connection.sync();
  connection.sendCopyFromChunk(Buffer.from('1\n'));
  connection.endCopyFrom();
  connection.sendCopyFail('enough');
  connection.end();
  return [stream.target, stream.written, stream.ended];
});

alike('takes a stream, or a function that makes one of its options', (driver) => {
  const stream = new Memory();
  const options = { stream: (given) => Object.assign(stream, { same: given === options }) };
  return [
    new driver.Connection({ stream }).stream === stream,
    new driver.Connection(options).stream === stream,
    stream.same,
    new driver.Connection().stream.constructor.name,
  ];
});

alike('switches keep-alive on when its stream is connected', (driver) => {
  const stream = new Memory();
  const seen = [];
  stream.setKeepAlive = (...args) => seen.push(args);
  new driver.Connection({ stream, keepAlive: true, keepAliveInitialDelayMillis: 1000 }).connect(1, 'a');
  stream.emit('connect');
  return seen;
});

alike('tells errors of its stream, but not the reset that its own end caused', (driver) => {
  const stream = new Memory();
  const connection = new driver.Connection({ stream });
  const notes = journal(connection, ['error']);
  connection.connect(1, 'a');
  const reset = (message) => Object.assign(new Error(message), { code: 'ECONNRESET' });
  stream.emit('error', reset('before'));
  connection.end();
  stream.emit('error', reset('after'));
  stream.emit('error', new Error('another'));
  return notes;
});

alike('is what stands behind a client', (driver) => {
  const { connection } = new driver.Client();
  return [connection instanceof driver.Connection, connection.constructor.name, connection._ending];
});

alike('the next command goes to a server that answers several', (driver) =>
  connected(
    driver,
    [
      ...GREETING,
      forever(
        wait('Q'),
        backend.commandComplete('LISTEN'),
        backend.notificationResponse(7, 'news', 'hello'),
        backend.readyForQuery(),
      ),
    ],
    async (connection) => {
      const heard = [];
      connection.on('connect', () => connection.startup({ user: 'me' }));
      connection.once('readyForQuery', () => connection.query('LISTEN news'));
      connection.on('notification', ({ channel, payload, processId }) =>
        heard.push([channel, payload, processId]),
      );
      await until(() => heard.length === 1);
      return heard;
    },
  ),
);

alike('keeps its process alive until it is ended', (driver, config) =>
  inProcess(driver, config(), (pg, { host, port }) => {
    const connection = new pg.Connection();
    connection.on('connect', () => {
      console.log('connected');
      connection.end();
    });
    connection.connect(port, host);
  }),
);

alike(
  'without a stream that can connect it throws',
  (driver) => thrown(() => new driver.Connection({ stream: {} }).connect(1, 'a')).type,
);
