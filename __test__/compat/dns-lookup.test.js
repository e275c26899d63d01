'use strict';

// An application's own `dns.lookup` resolves the hosts of pools and clients, in the place of Node's.

const { AsyncLocalStorage } = require('node:async_hooks');
const dns = require('node:dns');
const { alike, outcome } = require('./alike');
const { server } = require('../support/server');

const NAME = 'db.example.invalid';
const storage = new AsyncLocalStorage();
const { lookup: plain } = dns;

afterEach(() => {
  dns.lookup = plain;
});

/** Has `answer(callback)` resolve names; notes how it was asked. */
function replaceLookup(answer) {
  const asked = [];
  dns.lookup = (host, { all, family, hints }, callback) => {
    asked.push([host, all, family, hints, storage.getStore()]);
    answer(callback);
  };
  return asked;
}

const addresses =
  (...found) =>
  (callback) =>
    setImmediate(
      callback,
      null,
      found.map((address) => ({ address, family: 4 })),
    );

const named = (config, more) => config({ host: NAME, ...more });
const thisServer = addresses(server().host === 'localhost' ? '127.0.0.1' : server().host);

async function byClient(driver, config) {
  const client = new driver.Client(named(config));
  await storage.run('the caller', () => client.connect());
  const { rows } = await client.query('SELECT 1 AS one');
  await client.end();
  return rows;
}

async function byPool(driver, config) {
  const pool = new driver.Pool(named(config, { max: 1 }));
  const { rows } = await storage.run('the caller', () => pool.query('SELECT 1 AS one'));
  await pool.end();
  return rows;
}

describe.each(Object.entries({ byClient, byPool }))('%s', (_, connect) => {
  alike('it is asked as by a socket of Node, in the context of the caller', async (driver, config) => {
    const asked = replaceLookup(thisServer);
    return [await connect(driver, config), asked];
  });

  alike('the next address is tried where the first refuses', async (driver, config) => {
    replaceLookup((callback) => {
      thisServer((_, [here]) => callback(null, [{ address: '127.0.0.9', family: 4 }, here]));
    });
    return connect(driver, config);
  });

  for (const [name, fail] of Object.entries({
    'calls back with': (error, callback) => setImmediate(callback, error),
    throws: (error) => {
      throw error;
    },
  })) {
    alike(`an error that it ${name} is what the connect fails with`, async (driver, config) => {
      const error = Object.assign(new Error('no such service'), { code: 'NO_SERVICE' });
      replaceLookup((callback) => fail(error, callback));
      const failure = await connect(driver, config).then(
        () => undefined,
        (failed) => failed,
      );
      return [failure === error, failure.message, failure.code];
    });
  }
});

alike('an address needs none', async (driver, config) => {
  const asked = replaceLookup(thisServer);
  const client = new driver.Client(
    config({ host: server().host === 'localhost' ? '127.0.0.1' : server().host }),
  );
  const connected = await outcome(client.connect().then(() => 'connected'));
  await client.end();
  return [connected, asked];
});
