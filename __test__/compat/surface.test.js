'use strict';

// What the module, its classes and their objects show: names, relations, own properties.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const tls = require('node:tls');
const { alike, outcome, thrown } = require('./alike');
const { closedPort } = require('../support/ports');
const { config } = require('../support/server');
const ours = require('../../index.js');
const { PoolDelegate } = require('../../lib/pool/delegate');

const ROOT = path.resolve(__dirname, '../..');
const OURS_ALONE = new Set([...Object.keys(ours).filter((name) => !(name in require('pg')))]);

// pg's files that applications and libraries require by path.
const PATHS = fs
  .readdirSync(path.join(path.dirname(require.resolve('pg/package.json')), 'lib'))
  .filter((file) => file.endsWith('.js'));

/** What a program of its own gets when it requires `${name}/lib/${file}`. */
function required(driver, files) {
  const name = driver === ours ? 'pgpool-rs' : 'pg';
  const code = `
    const get = (file) => {
      try { return require('${name}/lib/' + file); } catch ({ code }) { return code; }
    };
    const shown = ${JSON.stringify(files)}.map((file) => {
      const found = get(file);
      return [typeof found === 'string' ? found : typeof found, found.name, get(file.replace(/[.]js$/, '')) === found];
    });
    process.stdout.write(JSON.stringify(shown));`;
  return JSON.parse(execFileSync(process.execPath, ['-e', code], { cwd: ROOT, encoding: 'utf8' }));
}

/** The names of the methods and accessors that a class adds, private ones left out. */
function members(constructor) {
  return Object.getOwnPropertyNames(constructor.prototype)
    .filter((name) => !name.startsWith('_'))
    .sort();
}

describe('the module', () => {
  alike('exports the names of pg, first and in its order', (driver) =>
    Object.keys(driver).filter((name) => !OURS_ALONE.has(name)),
  );

  alike('has a `native` that is not enumerable, and null without pg-native', (driver) => {
    const { enumerable, get } = Object.getOwnPropertyDescriptor(driver, 'native');
    return [enumerable, typeof get, driver.native];
  });

  alike('copies a config that it makes uniform', (driver) => {
    class Config {
      get text() {
        return 'SELECT 1';
      }
    }
    const config = Object.assign(new Config(), { name: 'one' });
    const normal = driver.utils.normalizeQueryConfig(config, [1], () => {});
    const utils = driver.utils.normalizeQueryConfig;
    return [
      Object.keys(config),
      Object.keys(normal).sort(),
      normal instanceof Config,
      normal.text,
      utils('SELECT 2', [2]),
      utils(null),
      utils(undefined),
    ];
  });

  alike('has the utils of pg', (driver) => [
    Object.keys(driver.utils),
    driver.utils.prepareValue([1, null, { a: 1 }]),
  ]);

  alike('shares the registry of pg-types', (driver) => driver.types === require('pg-types'));

  alike('has the defaults of pg', (driver) => ({ ...driver.defaults, user: null, _ours: undefined }));

  alike('escapes what is no text to nothing, and backslashes by E', (driver) => [
    driver.escapeLiteral(null),
    driver.escapeLiteral("it's \\"),
    driver.escapeIdentifier('a"b'),
  ]);
});

describe('deep paths', () => {
  alike('of pg answer, with and without .js', (driver) => required(driver, PATHS));

  test('deeper ones and files that pg has not are out of reach', () => {
    const files = ['pool/pool.js', 'native/index.js', 'client/connect.js', 'errors.js'];
    expect(required(ours, files)).toEqual(files.map(() => ['ERR_PACKAGE_PATH_NOT_EXPORTED', null, true]));
  });

  alike('`stream` gives sockets of Node', (driver) => {
    const stream = require(driver === ours ? '../../lib/stream' : 'pg/lib/stream');
    const socket = stream.getStream(false);
    const secure = stream.getSecureStream({ socket, servername: 'example.org' });
    const seen = [
      Object.keys(stream),
      socket.constructor === net.Socket,
      socket.connecting,
      secure instanceof tls.TLSSocket,
      secure.servername,
    ];
    secure.destroy();
    socket.destroy();
    return seen;
  });
});

describe('classes', () => {
  alike('are named and related as in pg', (driver) => {
    const { EventEmitter } = require('node:events');
    const { Client, Pool, Query, Connection, Result, DatabaseError, TypeOverrides } = driver;
    return [
      [Client, Pool, Query, Connection, Result, DatabaseError, TypeOverrides].map(({ name, length }) => [
        name,
        length,
      ]),
      [Client, Pool, Query, Connection].map((one) => one.prototype instanceof EventEmitter),
      DatabaseError.prototype instanceof Error,
      Client.Query === Query,
      Object.getPrototypeOf(Pool).name,
    ];
  });

  alike('need new', (driver) => [thrown(() => driver.Pool()).type, thrown(() => driver.Client()).type]);

  test('offer every public method of pg', () => {
    const pg = require('pg');
    for (const name of ['Client', 'Query', 'Connection', 'Result', 'TypeOverrides']) {
      const missing = members(pg[name]).filter((member) => !(member in ours[name].prototype));
      // Steps of the protocol that happen in the core.
      const inside = missing.filter(
        (member) =>
          !/^(handle|prepare|submit|getRows|connect$|describe$|isPreparedStatement|hasBeenParsed)/.test(
            member,
          ),
      );
      expect([name, inside]).toEqual([name, []]);
    }
    const pool = members(Object.getPrototypeOf(pg.Pool));
    expect(
      pool.filter((member) => !(member in ours.Pool.prototype) && !['newClient'].includes(member)),
    ).toEqual([]);
  });

  alike('may be extended', async (driver, config) => {
    class Counting extends driver.Client {
      query(...args) {
        this.count = (this.count || 0) + 1;
        return super.query(...args);
      }
    }
    class Named extends driver.Pool {
      get title() {
        return 'mine';
      }
    }
    const pool = new Named(config({ Client: Counting, max: 1 }));
    await pool.query('SELECT 1');
    await pool.query('SELECT 2');
    const client = await pool.connect();
    const seen = [
      client.count,
      client instanceof Counting,
      client instanceof driver.Client,
      pool.title,
      pool instanceof driver.Pool,
    ];
    client.release();
    await pool.end();
    return seen;
  });

  // The core calls these on an object of our own.
  const { constructor: _, ...calls } = Object.getOwnPropertyDescriptors(PoolDelegate.prototype);
  const TAKEN = [...Object.keys(calls), 'number', 'errors'];

  alike('may have members of any name', async (driver, config) => {
    const called = [];
    const members = TAKEN.map((name) => [
      name,
      () => {
        called.push(name);
        throw new Error(`${name} was called`);
      },
    ]);
    class WithMethods extends driver.Pool {}
    for (const [name, value] of members) WithMethods.prototype[name] = value;
    class WithFields extends driver.Pool {
      constructor(options) {
        super(options);
        Object.assign(this, Object.fromEntries(members));
      }
    }
    class OwnConnect extends driver.Client {
      connect(callback) {
        return super.connect(callback);
      }
    }
    const seen = [];
    for (const Pool of [WithMethods, WithFields]) {
      for (const Client of [driver.Client, OwnConnect]) {
        const { password, ...rest } = config({ max: 1 });
        const pool = new Pool({
          ...rest,
          Client,
          password: async () => password,
          stream: () => new net.Socket(),
        });
        seen.push((await pool.query('SELECT $1::int AS n', [1])).rows);
        const client = await pool.connect();
        seen.push((await client.query('SELECT 2 AS n')).rows);
        const lost = new Promise((resolve) => pool.once('error', ({ code }) => resolve(code)));
        const { processID } = client;
        client.release();
        const killer = new driver.Client(config());
        await killer.connect();
        await killer.query('SELECT pg_terminate_backend($1)', [processID]);
        await killer.end();
        seen.push(await lost, (await pool.query('SELECT 3 AS n')).rows);
        await pool.end();
        seen.push(TAKEN.every((name) => pool[name] === members.find(([own]) => own === name)[1]));
      }
      const unreachable = new Pool(config({ port: await closedPort(), Client: OwnConnect }));
      const { error } = await outcome(unreachable.query('SELECT 1'));
      seen.push(error.code);
      await unreachable.end();
    }
    return { seen, called };
  });
});

describe('objects', () => {
  alike('a result has the own properties of pg', async (driver, config) => {
    const client = new driver.Client(config());
    await client.connect();
    const result = await client.query('SELECT 1 AS a');
    const array = await client.query({ text: 'SELECT 1 AS a', rowMode: 'array' });
    await client.end();
    return [
      Object.keys(result),
      result.rowAsArray,
      array.rowAsArray,
      Object.keys(result.rows[0]),
      result.constructor.name,
    ];
  });

  alike('a Query has the properties of pg', (driver) => {
    const query = new driver.Query({
      text: 'SELECT $1',
      values: [1],
      name: 'n',
      rowMode: 'array',
      types: null,
      binary: true,
    });
    const { text, values, name, binary, portal, queryMode, rows, types } = query;
    return {
      text,
      values,
      name,
      binary,
      portal,
      queryMode,
      rows,
      types,
      isPrepared: query.requiresPreparation(),
    };
  });

  alike('a client tells its address and hides its password', (driver) => {
    const client = new driver.Client('postgres://ada:geheim@example.org:5433/books?application_name=x');
    const { user, database, host, port, password } = client;
    return [
      user,
      database,
      host,
      port,
      password,
      Object.keys(client).includes('password'),
      JSON.stringify(client).includes('geheim'),
    ];
  });

  alike('a pool has the own properties of pg', (driver) => {
    const pool = new driver.Pool({ max: 3 });
    return [
      pool.ending,
      pool.ended,
      typeof pool.log,
      pool.Client === driver.Client,
      pool.Promise === Promise,
      pool.options.max,
    ];
  });

  test('a pool shows no own property that pg has not', async () => {
    const pg = require('pg');
    const theirs = Object.keys(new pg.Pool());
    const pool = new ours.Pool(config());
    expect(theirs).toEqual(expect.arrayContaining(Object.keys(pool)));
    const client = await pool.connect();
    client.release();
    await pool.query('SELECT 1');
    expect(theirs).toEqual(expect.arrayContaining(Object.keys(pool)));
    await pool.end();
    expect(theirs).toEqual(expect.arrayContaining(Object.keys(pool)));
  });
});
