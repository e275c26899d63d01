'use strict';

// Proves the harness with the driver everybody knows: the server lets each user in as it should
// and disappears with its owner; the proxy and the scripted server do to `pg` what they claim.

const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { Client } = require('pg');
const { startPostgres } = require('./support/postgres');
const { alive } = require('./support/postmaster');
const { givenServer } = require('./support/given-server');
const { server, config, freshDatabase } = require('./support/server');
const { Proxy } = require('./support/proxy');
const { ScriptedServer, expect: message, close, stall, skipTo } = require('./support/scripted-server');
const backend = require('./support/backend-messages');
const { until } = require('./support/until');

const clients = [];
async function connect(options) {
  const client = new Client(options);
  client.lost = [];
  client.on('error', (error) => client.lost.push(error));
  clients.push(client);
  await client.connect();
  return client;
}
afterEach(async () => {
  for (const client of clients.splice(0)) client.connection.stream.destroy();
});

describe('the server of the run', () => {
  test('answers with the configuration that tests get', async () => {
    const client = await connect(config());
    const { rows } = await client.query('SELECT current_user AS user, current_database() AS database');
    expect(rows).toEqual([{ user: server().user, database: server().database }]);
  });

  test('gives a database of its own and takes it back from whoever is connected', async () => {
    const fresh = await freshDatabase();
    const client = await connect(fresh.config());
    await client.query('CREATE TABLE kept (id int)');
    await connect({ connectionString: fresh.url, ssl: server().ssl });
    await fresh.drop();
    await until(() => client.lost.length > 0, { what: 'the client to lose its connection' });
    await expect(connect(fresh.config())).rejects.toMatchObject({ code: '3D000' });
  });

  test('is taken from DATABASE_URL or PG* when one is named', () => {
    expect(givenServer({})).toBeNull();
    expect(givenServer({ PGPASSWORD: 'x' })).toBeNull();
    expect(givenServer({ DATABASE_URL: 'postgres://me:s%40x@db.test:5433/news' })).toMatchObject({
      embedded: false,
      host: 'db.test',
      port: 5433,
      user: 'me',
      password: 's@x',
      database: 'news',
    });
    expect(givenServer({ PGHOST: 'db.test', PGUSER: 'me', PGPASSWORD: 's@x' })).toMatchObject({
      host: 'db.test',
      port: 5432,
      database: 'me',
      url: 'postgres://me:s%40x@db.test:5432/me',
    });
  });
});

describe('a server of a test', () => {
  let postgres;
  beforeAll(async () => {
    postgres = await startPostgres({ settings: { work_mem: '5MB' } });
  });
  afterAll(() => postgres.stop());

  const as = (user, options) => {
    const { host, port, database } = postgres;
    return { host, port, database, ...postgres.users[user], ...options };
  };
  const verified = () => ({ ca: postgres.ca });
  const withCertificate = (one) => ({ ca: postgres.ca, cert: one.cert, key: one.key });

  test.each(['postgres', 'scram_user', 'md5_user', 'clear_user', 'trust_user'])(
    'lets %s in, plain and with TLS',
    async (user) => {
      for (const ssl of [false, verified()]) {
        const client = await connect(as(user, { ssl }));
        const { rows } = await client.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
        expect(rows).toEqual([{ ssl: Boolean(ssl) }]);
      }
    },
  );

  test.each(['scram_user', 'md5_user', 'clear_user'])('refuses a wrong password of %s', async (user) => {
    await expect(connect(as(user, { password: 'wrong' }))).rejects.toMatchObject({ code: '28P01' });
  });

  test('lets tls_only in through TLS alone', async () => {
    await connect(as('tls_only', { ssl: verified() }));
    await expect(connect(as('tls_only'))).rejects.toMatchObject({ code: '28000' });
  });

  test('lets cert_user in by its certificate alone', async () => {
    const { client, foreignClient } = postgres.tls;
    await connect(as('cert_user', { ssl: withCertificate(client) }));
    await expect(connect(as('cert_user', { ssl: verified() }))).rejects.toMatchObject({ code: '28000' });
    await expect(connect(as('cert_user', { ssl: withCertificate(foreignClient) }))).rejects.toThrow();
  });

  test('takes its settings from the test', async () => {
    expect((await postgres.query('SHOW work_mem')).rows).toEqual([{ work_mem: '5MB' }]);
  });

  test('offers a unix socket', async () => {
    const client = await connect(as('scram_user', { host: postgres.socketDir }));
    expect((await client.query('SELECT inet_server_addr() AS address')).rows).toEqual([{ address: null }]);
  });

  test('comes back on its port after a restart and after a kill', async () => {
    const client = await connect(as('scram_user'));
    await postgres.restart('immediate');
    await until(() => client.lost.length > 0, { what: 'the client to notice' });
    await connect(as('scram_user'));
    postgres.kill('SIGKILL');
    await postgres.exited();
    await postgres.start();
    await connect(as('scram_user'));
  });

  test.each([
    ['expired', 'CERT_HAS_EXPIRED'],
    ['wrongHost', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['foreign', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ])('shows a certificate that is %s', async (tls, code) => {
    const wrong = await startPostgres({ tls });
    try {
      const { port, user, password, database } = wrong;
      const options = { host: 'localhost', port, user, password, database, ssl: { ca: wrong.ca } };
      await expect(connect(options)).rejects.toMatchObject({ code });
    } finally {
      await wrong.stop();
    }
  });

  test('disappears with its files when its owner is killed outright', async () => {
    const source = `
      const { startPostgres } = require(${JSON.stringify(path.join(__dirname, 'support', 'postgres'))});
      startPostgres().then((s) => console.log(JSON.stringify({ pid: s.pid, directory: s.directory })));
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await once(owner.stdout, 'data');
    const { pid, directory } = JSON.parse(line);
    expect(alive(pid)).toBe(true);
    owner.kill('SIGKILL');
    await until(() => !alive(pid) && !fs.existsSync(directory), { what: 'the watchdog' });
  });
});

describe('the proxy', () => {
  let proxy;
  beforeEach(async () => {
    const { host, port } = server();
    proxy = await Proxy.start({ host, port });
  });
  afterEach(() => proxy.stop());
  const through = (options) => config({ host: proxy.host, port: proxy.port, ...options });
  const length = 1_000_000;
  const large = `SELECT repeat('x', ${length}) AS text`;

  test('forwards everything unchanged', async () => {
    const client = await connect(through());
    const { rows } = await client.query(large);
    expect(rows[0].text).toBe('x'.repeat(length));
    await client.end();
    await until(() => proxy.links.size === 0, { what: 'the link to close' });
  });

  test('cuts by reset and by FIN', async () => {
    const reset = await connect(through());
    proxy.cut('reset');
    await until(() => reset.lost.length > 0, { what: 'the reset' });
    expect(reset.lost[0]).toMatchObject({ code: 'ECONNRESET' });
    const ended = await connect(through());
    proxy.cut('fin');
    await until(() => ended.lost.length > 0, { what: 'the FIN' });
    expect(ended.lost[0].message).toBe('Connection terminated unexpectedly');
  });

  test('refuses and accepts again on the same port', async () => {
    await proxy.refuse();
    await expect(connect(through())).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await proxy.listen();
    await connect(through());
  });

  test.each(['toServer', 'toClient'])('stalls %s until it is resumed', async (direction) => {
    const client = await connect(through());
    proxy.stall(direction);
    let settled = false;
    const answer = client.query('SELECT 1 AS one').finally(() => (settled = true));
    // A second connection, which is not stalled, shows that time enough went by.
    await (await connect(config())).query('SELECT pg_sleep(0.05)');
    expect(settled).toBe(false);
    proxy.resume(direction);
    expect((await answer).rows).toEqual([{ one: 1 }]);
  });

  test('cuts after a number of bytes in one direction', async () => {
    const client = await connect(through());
    const [link] = proxy.links;
    const limit = link.toClient.bytes + 5000;
    proxy.cutAfterBytes('toClient', limit, 'fin');
    await expect(client.query(large)).rejects.toThrow('Connection terminated unexpectedly');
    expect(link.toClient.bytes).toBe(limit);
  });

  test('cuts when a message is seen, before or after it', async () => {
    const before = await connect(through());
    proxy.cutOnMessage('toClient', 'C');
    await expect(before.query('SELECT 1')).rejects.toThrow();
    const after = await connect(through());
    const tags = [];
    after.connection.on('commandComplete', (tag) => tags.push(tag.text));
    proxy.cutOnMessage('toClient', 'C', { how: 'fin', after: true });
    await expect(after.query('SELECT 1')).rejects.toThrow('Connection terminated unexpectedly');
    expect(tags).toEqual(['SELECT 1']);
  });

  test('stalls at the nth message of a kind', async () => {
    const client = await connect(through());
    const [link] = proxy.links;
    proxy.when({ direction: 'toServer', message: 'Q', nth: 2 }, 'stall');
    await client.query('SELECT 1');
    const second = client.query('SELECT 2 AS two');
    await once(proxy, 'fired');
    expect(link.toServer.isStalled).toBe(true);
    proxy.resume();
    expect((await second).rows).toEqual([{ two: 2 }]);
  });

  test('knows the messages of a whole session', async () => {
    const client = await connect(through());
    const [link] = proxy.links;
    await client.query('SELECT $1::int', [1]);
    expect(link.toServer.messages[0]).toBe('startup');
    expect(link.toServer.messages.slice(-5)).toEqual(['P', 'B', 'D', 'E', 'S']);
    expect(link.toClient.messages.slice(-6)).toEqual(['1', '2', 'T', 'D', 'C', 'Z']);
  });

  test('damages one byte', async () => {
    const client = await connect(through());
    const [link] = proxy.links;
    // Header and length, three columns of description, then the row: the byte is found by what it holds.
    const { rows } = await client.query("SELECT 'abc' AS text");
    const size = link.toClient.bytes;
    await client.query("SELECT 'abc' AS text");
    const answer = link.toClient.bytes - size;
    const ready = 6;
    const complete = 5 + 'SELECT 1\0'.length;
    proxy.corruptByte('toClient', link.toClient.bytes + answer - ready - complete - 1, 0x20);
    expect((await client.query("SELECT 'abc' AS text")).rows).toEqual([{ text: 'abC' }]);
    expect(rows).toEqual([{ text: 'abc' }]);
  });

  test('delays and half-closes', async () => {
    const client = await connect(through());
    proxy.delay(5);
    expect((await client.query(large)).rows[0].text).toHaveLength(length);
    proxy.delay(0);
    proxy.halfClose('toServer');
    await until(() => client.lost.length > 0, { what: 'the server to hang up' });
  });
});

describe('the scripted server', () => {
  let scripted;
  const run = async (script) => {
    scripted = await ScriptedServer.start(script);
    return { host: scripted.host, port: scripted.port, user: 'anyone', password: 'secret', database: 'any' };
  };
  afterEach(async () => {
    await scripted.stop();
    expect(scripted.failures).toEqual([]);
  });

  test('plays a login with a password and a query', async () => {
    const client = await connect(
      await run([
        message('startup'),
        backend.authenticationCleartextPassword(),
        message('p', (body) => expect(body.toString()).toBe('secret\0')),
        backend.greeting({ processId: 99 }),
        message('Q', (body) => expect(body.toString()).toBe('SELECT it\0')),
        backend.simpleResult(
          ['it', { name: 'n', type: 23 }],
          [
            ['works', '7'],
            [null, null],
          ],
        ),
      ]),
    );
    expect(client.processID).toBe(99);
    expect((await client.query('SELECT it')).rows).toEqual([
      { it: 'works', n: 7 },
      { it: null, n: null },
    ]);
  });

  test('plays the extended protocol and an error with all its fields', async () => {
    const client = await connect(
      await run([
        message('startup'),
        backend.greeting(),
        message('PBDES'),
        backend.parseComplete(),
        backend.errorResponse({ code: '23505', message: 'twice', fields: { t: 'news', n: 'news_pkey' } }),
        backend.readyForQuery(),
      ]),
    );
    await expect(client.query('INSERT', [1])).rejects.toMatchObject({
      severity: 'ERROR',
      code: '23505',
      message: 'twice',
      table: 'news',
      constraint: 'news_pkey',
    });
  });

  test('goes silent, hangs up, and answers each connection differently', async () => {
    const scripts = [
      [message('startup'), stall()],
      [message('startup'), backend.greeting(), message('Q'), close()],
      [message('ssl'), Buffer.from('N'), stall()],
    ];
    const options = await run((number) => scripts[number]);
    await expect(connect({ ...options, connectionTimeoutMillis: 50 })).rejects.toThrow('timeout');
    const client = await connect(options);
    await expect(client.query('SELECT 1')).rejects.toThrow('Connection terminated unexpectedly');
    await expect(connect({ ...options, ssl: true })).rejects.toThrow(
      'The server does not support SSL connections',
    );
    expect(scripted.accepted).toBe(3);
  });

  test('reports a client that says something else than expected', async () => {
    const client = await connect(await run([message('startup'), backend.greeting(), message('Q')]));
    await expect(client.query('SELECT $1', [1])).rejects.toThrow();
    expect(scripted.failures.splice(0).map(String)).toEqual(['Error: expected message Q, got P']);
    await scripted.stop();
    const skipping = await connect(
      await run([
        message('startup'),
        backend.greeting(),
        skipTo('S'),
        backend.emptyQueryResponse(),
        backend.readyForQuery(),
      ]),
    );
    await skipping.query('SELECT $1', [1]);
  });
});
