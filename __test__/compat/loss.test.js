'use strict';

// The loss of a connection: which errors, rejections and events there are, and in which order.

const Cursor = require('pg-cursor');
const { alike } = require('./alike');
const { admin, asleep, server } = require('../support/server');
const { Proxy } = require('../support/proxy');
const { until } = require('../support/until');

const terminate = ({ processID }) => admin('SELECT pg_terminate_backend($1)', [processID]);

/** Notes what is heard of the loss of `client`, with whether listeners heard it in one turn of the event loop. */
function witness(client, notes, prefix = '') {
  const note = (text) => notes.push(prefix + text);
  client.on('error', (error) => note(`error: ${error.message}`));
  client.on('end', () => note('end'));
  client.connection.on('errorMessage', ({ code }) => note(`connection errorMessage: ${code}`));
  client.connection.on('end', () => note('connection end'));
  return note;
}

const settle = (note, name, promise) =>
  promise.then(
    () => note(`${name} succeeded`),
    (error) => note(`${name} failed: ${error.message}`),
  );

// The ways in which a connection is lost.
const LOSSES = {
  'terminated by the server': async (driver, config, use) => {
    const client = new driver.Client(config());
    await use(client, async () => {
      await terminate(client);
    });
  },
  'cut by the network': async (driver, config, use) => {
    const proxy = await Proxy.start(server());
    const client = new driver.Client(config({ host: proxy.host, port: proxy.port }));
    try {
      await use(client, async () => proxy.cut('fin'));
    } finally {
      await proxy.stop();
    }
  },
};

const ended = (notes) =>
  until(() => notes.some((note) => /(^|\s)end$/.test(note) && !note.includes('connection')));

// What a client does when its connection is lost.
const USES = {
  'an idle client': async (client, notes, lose) => {
    witness(client, notes);
    await lose();
  },
  'an idle client that is ended by its listener': async (client, notes, lose) => {
    const note = witness(client, notes);
    client.once('error', () => {
      client.end(() => note('end callback'));
      note('end called');
    });
    await lose();
  },
  'an idle client that is ended a turn after its error': async (client, notes, lose) => {
    const note = witness(client, notes);
    client.once('error', () => setImmediate(() => client.end().then(() => note('ended'))));
    await lose();
  },
  'a client that runs a query': async (client, notes, lose) => {
    const note = witness(client, notes);
    settle(note, 'query', client.query('SELECT pg_sleep(600)'));
    await asleep(client.processID);
    await lose();
  },
  'a client with a query behind another': async (client, notes, lose) => {
    const note = witness(client, notes);
    settle(note, 'first', client.query('SELECT pg_sleep(600)'));
    settle(note, 'second', client.query('SELECT 2'));
    await asleep(client.processID);
    await lose();
  },
  'a client with callbacks': async (client, notes, lose) => {
    const note = witness(client, notes);
    client.query('SELECT pg_sleep(600)', (error) => note(`first: ${error.message}`));
    client.query('SELECT 2', (error) => {
      note(`second: ${error.message}`);
      settle(note, 'third', client.query('SELECT 3'));
    });
    await asleep(client.processID);
    await lose();
  },
  'a client that queries on in its listener': async (client, notes, lose) => {
    const note = witness(client, notes);
    client.once('error', () => settle(note, 'another', client.query('SELECT 1')));
    await lose();
  },
  'a client that reads a cursor': async (client, notes, lose) => {
    const note = witness(client, notes);
    settle(note, 'read', client.query(new Cursor('SELECT pg_sleep(600)')).read(1));
    settle(note, 'query', client.query('SELECT 2'));
    await asleep(client.processID);
    await lose();
  },
  'a client whose cursor is open': async (client, notes, lose) => {
    const note = witness(client, notes);
    const cursor = client.query(new Cursor('SELECT generate_series(1, 1000)'));
    await cursor.read(1);
    await lose();
    await ended(notes);
    await settle(note, 'read', cursor.read(1));
  },
  'a client that listens': async (client, notes, lose) => {
    witness(client, notes);
    await client.query('LISTEN something');
    await lose();
  },
  'a client inside a transaction': async (client, notes, lose) => {
    const note = witness(client, notes);
    await client.query('BEGIN');
    await lose();
    await ended(notes);
    await settle(note, 'ROLLBACK', client.query('ROLLBACK'));
  },
};

// What a cursor sends behind the server's last words resets the connection, and pg tells of that reset first: see
// docs/guide/differences.md.
const isReset = (way, name) => way === 'terminated by the server' && name.includes('cursor');

describe.each(Object.entries(LOSSES))('%s', (way, withClient) => {
  for (const [name, use] of Object.entries(USES)) {
    if (isReset(way, name)) continue;
    alike(name, async (driver, config) => {
      const notes = [];
      await withClient(driver, config, async (client, lose) => {
        await client.connect();
        await use(client, notes, lose);
        await ended(notes);
        // What comes after the end, if anything does.
        await client.end();
        notes.push('ended at last');
      });
      return notes;
    });
  }
});

describe('a client of a pool', () => {
  const POOL_USES = {
    'that is released with the error by its listener': (client) => {
      client.once('error', (error) => client.release(error));
    },
    'that is released without the error by its listener': (client) => {
      client.once('error', () => client.release());
    },
    'that is released a turn after its error': (client) => {
      client.once('error', () => setImmediate(() => client.release()));
    },
    'that is released once it has ended': (client) => {
      client.once('end', () => client.release());
    },
    'that is idle': (client) => {
      client.removeAllListeners('error');
      client.release();
    },
    'that is released when its query has failed, with its listener removed': (client) => {
      client.query('SELECT pg_sleep(600)').catch((error) => {
        client.removeAllListeners('error');
        client.release(error);
      });
      return asleep(client.processID);
    },
    'that is released without the error when its query has failed': (client) => {
      client.query('SELECT pg_sleep(600)').catch(() => {
        client.removeAllListeners('error');
        client.release();
      });
      return asleep(client.processID);
    },
  };

  for (const [name, use] of Object.entries(POOL_USES)) {
    alike(name, async (driver, config) => {
      const pool = new driver.Pool(config({ max: 1 }));
      const notes = [];
      const client = await pool.connect();
      for (const event of ['error', 'release', 'remove']) {
        pool.on(event, (error) =>
          notes.push(`pool ${event}${event === 'error' ? `: ${error.message}` : ''}`),
        );
      }
      witness(client, notes);
      await use(client);
      await terminate(client);
      await ended(notes);
      await until(() => notes.includes('pool remove'));
      const heard = [...notes];
      const { rows } = await pool.query('SELECT 1 AS one');
      await pool.end();
      return [heard, rows];
    });
  }
});
