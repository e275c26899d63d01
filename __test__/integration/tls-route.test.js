'use strict';

// Who encrypts: the core, or Node where the core's TLS does not know enough. What this process asks of Node's TLS is
// heeded; a cancel request takes the way of its session; an alert of the server has its name.

const { execFile } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');
const pg = require('pg');
const ours = require('../..');
const backend = require('../support/backend-messages');
const { ScriptedServer, close, expect: message } = require('../support/scripted-server');
const { config, server } = require('../support/server');
const { makeCases } = require('../support/tls-cases');
const { TlsFront } = require('../support/tls-front');
const { until } = require('../support/until');
const { PATIENCE } = require('../support/patience');

const { Client, Pool } = ours;

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-tls-'));
let cases;
beforeAll(async () => {
  cases = await makeCases(directory);
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

async function withFront(name, body, asksForProof) {
  const front = await TlsFront.start({ ...cases.servers[name], ca: cases.authorities.ca.cert }, asksForProof);
  try {
    return await body(front);
  } finally {
    await front.stop();
  }
}

/** Options to reach a front; `ssl` trusts its authority. */
const reach = (front, more = {}) => ({
  host: 'localhost',
  port: front.port,
  user: 'somebody',
  password: 'secret',
  database: 'news',
  ...more,
  ssl: { ca: cases.authorities.ca.cert, ...more.ssl },
});

describe('a server that the core does not know enough of', () => {
  test('is tried once more by way of Node, and the pool remembers', () =>
    withFront('version 1', async (front) => {
      const pool = new Pool(reach(front, { max: 2 }));
      const clients = [await pool.connect()];
      expect(front.connections).toBe(2);
      clients.push(await pool.connect());
      expect(front.connections).toBe(3);
      for (const client of clients) client.release();
      await pool.end();
    }));

  test('is reached by Node at once with a client certificate that the core cannot use', () =>
    withFront('RSA', async (front) => {
      const client = new Client(reach(front, { ssl: cases.clients['P-521'] }));
      await client.connect();
      await client.end();
      expect(front.logins.get('somebody').shown).not.toBeNull();
    }));

  test('that is known to the core costs one connect', () =>
    withFront('P-256', async (front) => {
      const client = new Client(reach(front));
      await client.connect();
      await client.end();
      expect(front.connections).toBe(1);
    }));

  test.each([
    ['of another name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['of another address', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['expired', 'CERT_HAS_EXPIRED'],
    ['not yet valid', 'CERT_NOT_YET_VALID'],
    ['self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['of a foreign authority', undefined],
  ])('is not tried again where the certificate is %s', (name, code) =>
    withFront(name, async (front) => {
      const host = name === 'of another address' ? '127.0.0.1' : 'localhost';
      const client = new Client({ ...reach(front), host });
      const failure = await client.connect().catch((error) => error);
      expect(failure).toBeInstanceOf(Error);
      if (code !== undefined) expect(failure.code).toBe(code);
      expect(front.connections).toBe(1);
    }),
  );

  test('is asked to cancel by way of Node, too', () =>
    withFront('version 1', async (front) => {
      const client = new Client(reach(front, { query_timeout: 50 }));
      client.on('error', () => {});
      await client.connect();
      await expect(client.query('SELECT 1')).rejects.toThrow();
      await until(() => front.cancels.length > 0);
      expect(front.cancels[0].encrypted).toBe(true);
      await client.end();
    }));

  test('that is away is waited for as by the core', async () => {
    const away = net.createServer((socket) => socket.on('error', () => {}).resetAndDestroy());
    away.listen(0, '127.0.0.1');
    await once(away, 'listening');
    let connections = 0;
    away.on('connection', () => connections++);
    const ssl = { checkServerIdentity: () => undefined };
    const { port } = away.address();
    const options = { host: '127.0.0.1', port, ssl, acquireTimeoutMillis: PATIENCE, failFast: false };
    const pool = new Pool(config(options));
    const query = pool.query('SELECT 1').catch((error) => error);
    await until(() => connections > 1);
    const ended = pool.end();
    expect((await query).message).toBeDefined();
    await ended;
    away.close();
  });
});

describe('a login that binds to its channel', () => {
  const bound = async (driver, front, more) => {
    const client = new driver.Client(reach(front, { enableChannelBinding: true, ssl: more }));
    client.on('error', () => {});
    const failure = await client.connect().catch((error) => error);
    await client.end();
    return { ...front.logins.get('somebody'), code: failure.code };
  };

  test.each([
    'RSA',
    'P-384',
    'P-521',
    'Ed25519',
    'RSA-PSS',
    'signed with RSA-PSS',
    'signed with SHA-1',
    'version 1',
  ])('binds as under pg to a certificate: %s', (name) =>
    withFront(
      name,
      async (front) => {
        // The core encrypts, if it can; then Node does.
        for (const more of [{}, { ciphers: 'DEFAULT' }]) {
          const ssl = { rejectUnauthorized: false, ...more };
          const expected = await bound(pg, front, ssl);
          front.logins.clear();
          expect(await bound(ours, front, ssl)).toEqual(expected);
          expect(expected).toMatchObject({ mechanism: 'SCRAM-SHA-256-PLUS', code: '28P01' });
        }
      },
      true,
    ),
  );

  test('fails rather than be bound less', async () => {
    // Something in between has ended TLS, or claims to.
    const scripted = await ScriptedServer.start([
      message('startup'),
      backend.authenticationSASL(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']),
      close(),
    ]);
    const options = config({
      host: '127.0.0.1',
      port: scripted.port,
      ssl: false,
      enableChannelBinding: true,
    });
    for (const more of [{}, { stream: () => new net.Socket() }]) {
      const failure = await new Client({ ...options, ...more }).connect().catch((error) => error);
      expect(failure.message).toBe('SASL: Mechanism SCRAM-SHA-256-PLUS requires a certificate');
    }
    expect(scripted.received.map(({ type }) => type)).not.toContain('p');
    await scripted.stop();
  });
});

const run = promisify(execFile);

// The machine may ask for authorities of its own.
const own = { ...process.env };
for (const name of Object.keys(own)) if (/^(NODE_|SSL_CERT_)/.test(name)) delete own[name];

/** What both drivers meet, in a process of these flags and variables, at servers of that name. */
async function inProcessOf(setting, names) {
  const fronts = {};
  for (const name of names)
    fronts[name] = await TlsFront.start({ ...cases.servers[name], ca: cases.authorities.ca.cert });
  const { flags = [], env = {}, prelude = '', ssl = true } = setting;
  const ports = Object.fromEntries(Object.entries(fronts).map(([name, { port }]) => [name, port]));
  const script = `
    ${prelude}
    const drivers = { pg: require(${JSON.stringify(require.resolve('pg'))}), ours: require(${JSON.stringify(require.resolve('../..'))}) };
    (async () => {
      const outcomes = { pg: {}, ours: {} };
      for (const [name, port] of Object.entries(${JSON.stringify(ports)}))
        for (const [driver, { Client }] of Object.entries(drivers)) {
          const client = new Client({ host: 'localhost', port, user: 'a', password: 'b', database: 'c', ssl: ${JSON.stringify(ssl)} });
          client.on('error', () => {});
          outcomes[driver][name] = await client.connect().then(() => 'connected', ({ code, message }) => code === 'EPROTO' ? /alert/.exec(message)[0] : /ALERT/.test(code) ? 'alert' : code);
          await client.end();
        }
      console.log(JSON.stringify(outcomes));
    })();`;
  try {
    const { stdout } = await run(process.execPath, [...flags, '-e', script], {
      env: { ...own, ...env },
      timeout: PATIENCE,
    });
    return JSON.parse(stdout);
  } finally {
    for (const front of Object.values(fronts)) await front.stop();
  }
}

const hasFlag = (flag) => process.allowedNodeEnvironmentFlags.has(flag);
const authorityFile = () => {
  const file = path.join(directory, 'authority.crt');
  fs.writeFileSync(file, cases.authorities.ca.cert);
  return file;
};
const NAMES = ['RSA', 'TLS 1.2', 'TLS 1.3', 'of another name', 'of a foreign authority', 'version 1'];

describe('what the process asks of TLS is heeded as by pg', () => {
  test.each([
    ['nothing', () => ({})],
    ['NODE_EXTRA_CA_CERTS', () => ({ env: { NODE_EXTRA_CA_CERTS: authorityFile() } })],
    ['NODE_TLS_REJECT_UNAUTHORIZED', () => ({ env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } })],
    [
      'NODE_TLS_REJECT_UNAUTHORIZED where ssl says otherwise',
      () => ({ env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' }, ssl: { rejectUnauthorized: true } }),
    ],
    ['--use-openssl-ca', () => ({ flags: ['--use-openssl-ca'], env: { SSL_CERT_FILE: authorityFile() } })],
    [
      '--use-openssl-ca in NODE_OPTIONS',
      () => ({ env: { NODE_OPTIONS: '--use-openssl-ca', SSL_CERT_FILE: authorityFile() } }),
    ],
    ['SSL_CERT_FILE alone', () => ({ env: { SSL_CERT_FILE: authorityFile() } })],
    ...(hasFlag('--use-system-ca')
      ? [
          [
            '--use-system-ca',
            () => ({ flags: ['--use-system-ca'], env: { SSL_CERT_FILE: authorityFile() } }),
          ],
          [
            'NODE_USE_SYSTEM_CA',
            () => ({ env: { NODE_USE_SYSTEM_CA: '1', SSL_CERT_FILE: authorityFile() } }),
          ],
        ]
      : []),
    ['--tls-min-v1.3', () => ({ flags: ['--tls-min-v1.3'], ssl: { rejectUnauthorized: false } })],
    ['--tls-max-v1.2', () => ({ flags: ['--tls-max-v1.2'], ssl: { rejectUnauthorized: false } })],
    [
      'tls.DEFAULT_MIN_VERSION',
      () => ({
        prelude: "require('node:tls').DEFAULT_MIN_VERSION = 'TLSv1.3';",
        ssl: { rejectUnauthorized: false },
      }),
    ],
    [
      'tls.DEFAULT_CIPHERS',
      () => ({
        prelude: "require('node:tls').DEFAULT_CIPHERS = 'TLS_AES_128_GCM_SHA256';",
        ssl: { rejectUnauthorized: false },
      }),
    ],
    ...(typeof require('node:tls').setDefaultCACertificates === 'function'
      ? [
          [
            'tls.setDefaultCACertificates',
            () => ({
              prelude: `require('node:tls').setDefaultCACertificates([require('node:fs').readFileSync(${JSON.stringify(authorityFile())}, 'utf8')]);`,
            }),
          ],
        ]
      : []),
  ])('%s', async (_, settingOf) => {
    const { pg: expected, ours } = await inProcessOf(settingOf(), NAMES);
    expect(ours).toEqual(expected);
  });
});

const describeTls = server().tls ? describe : describe.skip;

describeTls('an alert of the server', () => {
  const { ca, users, tls } = server();
  const client = (shown) =>
    new Client(config({ ...users?.cert_user, host: 'localhost', ssl: { ca, ...shown } }));
  const files = ({ certFile, keyFile }) => ({
    cert: fs.readFileSync(certFile, 'utf8'),
    key: fs.readFileSync(keyFile, 'utf8'),
  });

  test('about the certificate of the client is named', async () => {
    const failure = await client(files(tls.foreignClient))
      .connect()
      .catch((error) => error);
    expect(failure.message).toBe('the server refused the client certificate: unknown ca');
    expect(failure.code).toBe('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
  });

  test('is the same to a pool', async () => {
    const pool = new Pool(
      config({ ...users.cert_user, host: 'localhost', ssl: { ca, ...files(tls.foreignClient) } }),
    );
    const failure = await pool.query('SELECT 1').catch((error) => error);
    expect(failure.message).toBe('the server refused the client certificate: unknown ca');
    await pool.end();
  });
});
