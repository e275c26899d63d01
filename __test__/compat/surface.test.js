'use strict';

// What the module, its classes and their objects show: names, relations, own properties.

const { alike, thrown } = require('./alike');
const ours = require('../../index.js');

const OURS_ALONE = new Set([...Object.keys(ours).filter((name) => !(name in require('pg')))]);

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
});
