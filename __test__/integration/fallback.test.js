'use strict';

// What only JavaScript can serve: streams of the application's making, TLS options of Node's own, clients
// of other packages.

const { EventEmitter, once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const forge = require('node-forge');
const pg = require('pg');
const Cursor = require('pg-cursor');
const { from } = require('pg-copy-streams');
const { pipeline } = require('node:stream/promises');
const { Readable } = require('node:stream');
const { Client, Pool } = require('../..');
const { inProcess } = require('../compat/alike');
const { config, server } = require('../support/server');
const { until } = require('../support/until');

const IS_ENCRYPTED = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';

async function withClient(options, body) {
  const client = new Client(config(options));
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

/** A factory that remembers its sockets. */
function sockets() {
  const made = [];
  const make = () => {
    made.push(new net.Socket());
    return made.at(-1);
  };
  return { made, make };
}

describe('a stream of the application', () => {
  test('is asked for once per connection, and is given the configuration', async () => {
    const configs = [];
    const pool = new Pool(
      config({
        max: 2,
        stream: (given) => {
          configs.push(given);
          return new net.Socket();
        },
      }),
    );
    await Promise.all(
      Array.from({ length: 10 }, (_, i) => pool.query('SELECT $1::int AS i, pg_sleep(0.01)', [i])),
    );
    expect(configs).toHaveLength(2);
    expect(configs[0]).toHaveProperty('keepAlive', false);
    await pool.end();
  });

  test('may be an object', async () => {
    const stream = new net.Socket();
    await withClient({ stream }, async (client) => {
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      expect(stream.bytesRead).toBeGreaterThan(0);
    });
    expect(stream.destroyed).toBe(true);
  });

  test('carries large parameters and large results', () =>
    withClient({ stream: () => new net.Socket() }, async (client) => {
      const text = 'x'.repeat(20_000_000);
      const { rows } = await client.query('SELECT $1::text AS text', [text]);
      expect(rows[0].text === text).toBe(true);
    }));

  test('carries cursors and copies', () =>
    withClient({ stream: () => new net.Socket() }, async (client) => {
      const cursor = client.query(new Cursor('SELECT g FROM generate_series(1, 5) g'));
      expect(await cursor.read(3)).toHaveLength(3);
      await cursor.close();
      await client.query('CREATE TEMP TABLE copied (a int)');
      await pipeline(Readable.from(['1\n', '2\n']), client.query(from('COPY copied FROM STDIN')));
      expect((await client.query('SELECT sum(a)::int AS sum FROM copied')).rows).toEqual([{ sum: 3 }]);
    }));

  test('is made anew for a cancel request', async () => {
    const { made, make } = sockets();
    await withClient({ stream: make }, async (client) => {
      await expect(client.query({ text: 'SELECT pg_sleep(60)', query_timeout: 100 })).rejects.toThrow(
        'Query read timeout',
      );
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    });
    expect(made).toHaveLength(2);
  });

  test('that breaks is the loss of the connection', async () => {
    const { made, make } = sockets();
    const client = new Client(config({ stream: make }));
    await client.connect();
    const lost = once(client, 'error');
    const query = client.query('SELECT pg_sleep(60)');
    query.catch(() => {});
    made[0].destroy();
    expect((await lost)[0].message).toBe('Connection terminated unexpectedly');
    await expect(query).rejects.toThrow('Connection terminated unexpectedly');
    await client.end();
  });

  test('that cannot connect fails the connect with its error', async () => {
    const client = new Client(config({ port: 1, stream: () => new net.Socket() }));
    await expect(client.connect()).rejects.toMatchObject({ code: 'ECONNREFUSED', port: 1 });
  });

  test('whose factory throws fails the connect with that error', async () => {
    const error = new Error('no streams today');
    const pool = new Pool(
      config({
        stream: () => {
          throw error;
        },
      }),
    );
    await expect(pool.query('SELECT 1')).rejects.toBe(error);
    await pool.end();
  });

  test('is closed when the connect takes too long', async () => {
    const silent = net.createServer((socket) => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { made, make } = sockets();
    const client = new Client(
      config({ port: silent.address().port, stream: make, connectionTimeoutMillis: 100 }),
    );
    await expect(client.connect()).rejects.toThrow('timeout expired');
    await until(() => made[0].destroyed);
    silent.close();
  });

  test('lets the process end after the pool', async () => {
    const outcome = await inProcess(require('../..'), config(), function (driver, options) {
      const { Socket } = require('node:net');
      const pool = new driver.Pool({ ...options, stream: () => new Socket() });
      pool.query('SELECT 1 AS one').then(({ rows }) => {
        console.log(rows[0].one);
        return pool.end();
      });
    });
    expect(JSON.stringify(outcome)).toContain('1');
    expect(JSON.stringify(outcome)).not.toContain('SIGKILL');
  });
});

const describeTls = server().tls ? describe : describe.skip;

describeTls('TLS as only Node serves it', () => {
  const { ca } = server();

  test('checkServerIdentity is asked', async () => {
    const asked = [];
    const ssl = {
      ca,
      checkServerIdentity(host, certificate) {
        asked.push([host, typeof certificate.fingerprint]);
      },
    };
    await withClient({ host: 'localhost', ssl }, async (client) => {
      expect((await client.query(IS_ENCRYPTED)).rows).toEqual([{ ssl: true }]);
    });
    expect(asked).toEqual([['localhost', 'string']]);
  });

  test('and its refusal fails the connect', async () => {
    const refusal = new Error('not the one');
    const client = new Client(config({ host: 'localhost', ssl: { ca, checkServerIdentity: () => refusal } }));
    await expect(client.connect()).rejects.toBe(refusal);
  });

  test('an authority that is not trusted fails the connect', async () => {
    const client = new Client(config({ host: 'localhost', ssl: { checkServerIdentity: () => undefined } }));
    await expect(client.connect()).rejects.toMatchObject({
      code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO/),
    });
  });

  test('a protocol version is bounded', () =>
    withClient({ host: 'localhost', ssl: { ca, maxVersion: 'TLSv1.2' } }, async (client) => {
      const { rows } = await client.query('SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
      expect(rows).toEqual([{ version: 'TLSv1.2' }]);
    }));

  test('a pfx with a passphrase is presented', async () => {
    const files = server().tls.client;
    const certificate = forge.pki.certificateFromPem(fs.readFileSync(files.certFile, 'latin1'));
    const key = forge.pki.privateKeyFromPem(fs.readFileSync(files.keyFile, 'latin1'));
    const archive = forge.pkcs12.toPkcs12Asn1(key, [certificate], 'open sesame', { algorithm: 'aes256' });
    const pfx = Buffer.from(forge.asn1.toDer(archive).getBytes(), 'binary');
    await withClient({ host: 'localhost', ssl: { ca, pfx, passphrase: 'open sesame' } }, async (client) => {
      const { rows } = await client.query(
        'SELECT client_dn IS NOT NULL AS shown FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
      );
      expect(rows).toEqual([{ shown: true }]);
    });
  });

  test('a server without TLS is refused', async () => {
    const plain = net
      .createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket.end('N'));
      })
      .listen(0, '127.0.0.1');
    await once(plain, 'listening');
    const client = new Client(
      config({
        host: '127.0.0.1',
        port: plain.address().port,
        ssl: { checkServerIdentity: () => undefined },
      }),
    );
    await expect(client.connect()).rejects.toThrow('The server does not support SSL connections');
    plain.close();
  });
});

describe('a pool of foreign clients', () => {
  test('uses them, and is a pool of ours', async () => {
    const pool = new Pool(config({ Client: pg.Client, max: 2 }));
    expect(pool).toBeInstanceOf(Pool);
    expect((await pool.query('SELECT $1::int AS one', [1])).rows).toEqual([{ one: 1 }]);
    const client = await pool.connect();
    expect(client).toBeInstanceOf(pg.Client);
    expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 0, 0]);
    client.release();
    await pool.end();
    expect(pool.ended).toBe(true);
  });

  test('tells its events', async () => {
    const pool = new Pool(config({ Client: pg.Client }));
    const events = [];
    for (const name of ['connect', 'acquire', 'release', 'remove']) pool.on(name, () => events.push(name));
    await pool.query('SELECT 1');
    await pool.end();
    await until(() => events.length === 4);
    expect(events).toEqual(['connect', 'acquire', 'release', 'remove']);
  });

  test('takes any constructor, also a function that returns an object', async () => {
    class Recorder extends EventEmitter {
      constructor(options) {
        super();
        this.options = options;
        this._queryable = true;
        this._ending = false;
      }

      connect(callback) {
        process.nextTick(callback);
      }

      query(text, values, callback) {
        process.nextTick(() => callback(undefined, { text, values, name: this.options.name }));
      }

      end(callback) {
        this._ending = true;
        if (callback) process.nextTick(callback);
      }
    }
    const pool = new Pool({
      name: 'mine',
      Client: function makes(options) {
        return new Recorder(options);
      },
    });
    expect(await pool.query('anything', [1])).toEqual({ text: 'anything', values: [1], name: 'mine' });
    await pool.end();
  });

  test('may be of a derived class, whose own methods count', async () => {
    class Loud extends Pool {
      shout() {
        return this.query("SELECT 'loud' AS voice");
      }

      query(...args) {
        this.asked = (this.asked || 0) + 1;
        return this.connect().then((client) => client.query(...args).finally(() => client.release()));
      }
    }
    const pool = new Loud(config({ Client: pg.Client }));
    expect((await pool.shout()).rows).toEqual([{ voice: 'loud' }]);
    expect([pool.asked, pool instanceof Loud]).toEqual([1, true]);
    await pool.end();
  });

  test('of a class derived from our Client stays on the core', async () => {
    class Own extends Client {}
    const pool = new Pool(config({ Client: Own }));
    const client = await pool.connect();
    expect(client).toBeInstanceOf(Own);
    client.release();
    await pool.end();
  });
});
