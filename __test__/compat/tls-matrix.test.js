'use strict';

// Servers of every kind of certificate, clients of every kind, each form of `ssl` and each sslmode: a connect ends as
// under pg. Each server meets each form and each mode, and each client each form; PGPOOL_TLS_MATRIX=all runs every
// combination of server, client, and form or mode, about 70,000 of them.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const ours = require('../..');
const theirs = require('pg');
const { makeCases } = require('../support/tls-cases');
const { TlsFront } = require('../support/tls-front');
const { PATIENCE } = require('../support/patience');

const ALL = process.env.PGPOOL_TLS_MATRIX === 'all';
// Ten thousand logins and more take minutes, and many of them on a busy machine.
if (ALL) jest.setTimeout(60 * PATIENCE);
const AT_ONCE = 4;
// Later versions of Node add advice to the messages of OpenSSL.
const COMPARES_MESSAGES = process.versions.node.split('.')[0] < 24;

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-tls-'));
const NO_CLIENT = { none: {} };
let cases;
let users = 0;

beforeAll(async () => {
  cases = await makeCases(directory);
});

afterAll(() => fs.rmSync(directory, { recursive: true }));

/** How a connect ends: what the server saw, or the error. */
async function arrive(driver, front, options) {
  const user = `user_${users++}`;
  try {
    const client = new driver.Client({ port: front.port, password: 'x', ...options(user), user });
    client.on('error', () => {});
    await client.connect();
    await client.end();
    return front.logins.get(user);
  } catch (error) {
    return errorOf(error);
  }
}

function errorOf({ code, message }) {
  // pg writes its startup message into the handshake, and tells of a handshake that fails as of a write that does.
  const alert = /^(?:write EPROTO )?[0-9A-F]*:?(error:.*)/s.exec(message);
  if (alert !== null) return { alert: alert[1] };
  return COMPARES_MESSAGES || code === undefined ? { code, message } : { code };
}

/** Compares cells; resolves to those that differ. A cell: `[name, front, options of a user]`. */
async function differences(cells) {
  const found = {};
  const left = [...cells];
  const work = async () => {
    for (let cell = left.shift(); cell !== undefined; cell = left.shift()) {
      const [name, front, options] = cell;
      const pg = await arrive(theirs, front, options);
      const here = await arrive(ours, front, options);
      if (JSON.stringify(pg) !== JSON.stringify(here)) found[name] = { pg, here };
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return found;
}

async function withFront(server, body) {
  const front = await TlsFront.start({ ...cases.servers[server], ca: cases.authorities.ca.cert });
  try {
    return await body(front);
  } finally {
    await front.stop();
  }
}

function formCells(front, forms, clients) {
  return forms.flatMap(([form, options]) =>
    Object.entries(clients).map(([client, shown]) => [
      `${form}, client ${client}`,
      front,
      () => options(shown),
    ]),
  );
}

function modeCells(front, modes, clients) {
  return modes.flatMap(([mode, parameters]) =>
    Object.entries(clients).map(([client, files]) => {
      const all = new URLSearchParams([...parameters, ...Object.entries(files)]);
      const url = (user) => `postgres://${user}:x@localhost:${front.port}/d?${all}`;
      return [`${mode}, client ${client}`, front, (user) => ({ connectionString: url(user) })];
    }),
  );
}

/** Clients whose certificate and key can be files. */
function clientFiles() {
  const files = {};
  for (const [name, { cert, key, passphrase }] of Object.entries(cases.clients)) {
    if (typeof cert !== 'string' || typeof key !== 'string' || !cert || !key || passphrase) continue;
    const write = (end, text) => {
      const file = path.join(directory, `${name.replaceAll(' ', '-')}.${end}`);
      fs.writeFileSync(file, text);
      return file;
    };
    files[name] = { sslcert: write('crt', cert), sslkey: write('key', key) };
  }
  return files;
}

/** Compares the cells of each of the servers. */
async function differencesOf(servers, cellsOf) {
  const found = {};
  for (const name of servers) {
    const differing = await withFront(name, (front) => differences(cellsOf(front)));
    if (Object.keys(differing).length > 0) found[name] = differing;
  }
  return found;
}

test('a certificate of the server is judged as under pg', async () => {
  const cells = (front) => formCells(front, Object.entries(cases.forms), NO_CLIENT);
  expect(await differencesOf(Object.keys(cases.servers), cells)).toEqual({});
});

test('an sslmode means what it means under pg', async () => {
  const cells = (front) => modeCells(front, Object.entries(cases.modes), NO_CLIENT);
  expect(await differencesOf(Object.keys(cases.servers), cells)).toEqual({});
});

test('a certificate of the client is shown as under pg', async () => {
  const servers = ALL ? Object.keys(cases.servers) : ['RSA'];
  const cells = (front) => formCells(front, Object.entries(cases.forms), cases.clients);
  expect(await differencesOf(servers, cells)).toEqual({});
});

test('a client certificate in files is shown as under pg', async () => {
  const servers = ALL ? Object.keys(cases.servers) : ['RSA'];
  const cells = (front) => modeCells(front, Object.entries(cases.modes), clientFiles());
  expect(await differencesOf(servers, cells)).toEqual({});
});
