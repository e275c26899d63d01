'use strict';

// The monitor's server towards strangers: no request ends the process, no foreign page reads it, and beyond loopback
// it wants a token.

const http = require('node:http');
const net = require('node:net');
const { monitorServer } = require('../..');
const { Chance } = require('../faults/chance');
const { killAll, start } = require('../lifecycle/child');
const { undo } = require('../support/undo');

afterAll(killAll);

async function serve(options) {
  const server = await monitorServer({ port: 0, interval: 3_600_000, ...options });
  undo.push(() => server.close());
  return server;
}

function statusOf(server, path, headers = {}, method = 'GET') {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: server.port, path, method, headers, agent: false };
    const request = http.request(options, (response) => {
      resolve(response.statusCode);
      response.destroy();
    });
    request.on('error', reject).end();
  });
}

/** What the server says to these bytes before it closes, or falls silent for a moment. */
function answerTo(port, bytes) {
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect(port, '127.0.0.1');
    socket.setEncoding('latin1').on('data', (more) => (text += more));
    socket.on('error', () => {}).on('close', () => resolve(text));
    socket.setTimeout(50, () => socket.destroy());
    socket.end(bytes);
  });
}

const ROUTES = ['/', '/metrics', '/health', '/events'];
// `/health` tells of the pools of other test files of this process, too, and some of these have no server.
const answers = (path) => (path === '/health' ? [200, 503] : [200]);

describe('no request ends the process', () => {
  let child;
  let port;

  beforeAll(async () => {
    child = start(
      'pgpool-rs',
      `const { port } = await driver.monitorServer({ port: 0 });
       say(port);
       process.stdin.resume();`,
    );
    await child.said();
    port = JSON.parse(child.lines[0]);
  });

  const serves = () => statusOf({ port }, '/health');

  test.each([
    'GET // HTTP/1.1',
    'GET http://[ HTTP/1.1',
    'HEAD //x:99999/ HTTP/1.1',
    'HEAD /events HTTP/1.1',
    'GET \\\\ HTTP/1.1',
    'GET * HTTP/1.1',
    'OPTIONS * HTTP/1.1',
    'CONNECT x:1 HTTP/1.1',
    'GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade',
    'GET / HTTP/1.1\r\nExpect: 200-maybe',
  ])('%s', async (line) => {
    await answerTo(port, `${line}\r\nHost: localhost\r\n\r\n`);
    expect(await serves()).toBe(200);
    expect(child.end).toBe(null);
  });

  test('bytes of chance', async () => {
    const chance = new Chance(26, 'requests');
    const words = [
      'GET',
      'HEAD',
      'POST',
      ' ',
      '/',
      '//',
      '?',
      '#',
      '%',
      '%ff',
      '[',
      ']',
      ':',
      '@',
      '..',
      '\\',
      '\0',
      'é',
    ];
    const more = [
      'HTTP/1.1',
      'HTTP/9.9',
      '\r\n',
      '\r\n\r\n',
      'Host: ',
      'localhost',
      '[::1]:1',
      'Origin: ',
      'null',
      ...ROUTES,
    ];
    const piece = () =>
      chance.isTrue(0.05) ? String.fromCharCode(chance.between(0, 255)) : chance.pick([...words, ...more]);
    const request = () => {
      const noise = Array.from({ length: chance.between(0, 6) }, piece).join('');
      if (chance.isTrue(0.2)) return noise;
      return `${chance.pick(['GET', 'HEAD'])} ${noise || '/'} HTTP/1.1\r\nHost: ${chance.isTrue(0.8) ? 'localhost' : piece()}\r\n${piece()}\r\n\r\n`;
    };
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 20 }, () => answerTo(port, Buffer.from(request(), 'latin1'))));
    }
    expect(await serves()).toBe(200);
    expect(child.end).toBe(null);
  });
});

describe('a Host', () => {
  test.each(['127.0.0.1', 'localhost:9187', 'monitor.localhost', '[::1]:80', '192.0.2.7'])(
    '%s is answered on every path',
    async (host) => {
      const server = await serve();
      for (const path of ROUTES) expect(answers(path)).toContain(await statusOf(server, path, { host }));
    },
  );

  test.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'a b', '[::1'])(
    '"%s" is refused on every path',
    async (host) => {
      const server = await serve();
      for (const path of [...ROUTES, '/nothing']) expect(await statusOf(server, path, { host })).toBe(403);
    },
  );

  test('of the list is answered', async () => {
    const server = await serve({ allowedHosts: ['Monitor.example'] });
    expect(await statusOf(server, '/metrics', { host: 'monitor.EXAMPLE:9187' })).toBe(200);
  });
});

describe('a page of another origin', () => {
  const host = 'localhost:9187';

  test.each([
    { origin: 'https://evil.example' },
    { origin: 'http://localhost:3000' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
  ])('%j gets nothing', async (headers) => {
    const server = await serve();
    for (const path of ROUTES) expect(await statusOf(server, path, { host, ...headers })).toBe(403);
  });

  test.each([
    { origin: 'http://localhost:9187', 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
  ])('%j is the page itself, the address bar or a link', async (headers) => {
    expect(await statusOf(await serve(), '/', { host, ...headers })).toBe(200);
  });
});

describe('a token', () => {
  const basic = (password) => `Basic ${Buffer.from(`anybody:${password}`).toString('base64')}`;

  test('is asked for beyond loopback', async () => {
    for (const host of ['0.0.0.0', '::', '192.0.2.1', 'monitor.example']) {
      await expect(monitorServer({ port: 0, host })).rejects.toThrow('give a token');
    }
    await expect(monitorServer({ port: 0, token: '' })).rejects.toThrow(TypeError);
    await expect(monitorServer({ port: 0, allowedHosts: 'monitor' })).rejects.toThrow(TypeError);
    expect(await statusOf(await serve({ host: '0.0.0.0', token: false }), '/metrics')).toBe(200);
  });

  test('is taken as Bearer and as the password of Basic, and nothing else is', async () => {
    const server = await serve({ host: '0.0.0.0', token: 'open-sesame:1' });
    for (const authorization of ['Bearer open-sesame:1', basic('open-sesame:1')]) {
      for (const path of ROUTES)
        expect(answers(path)).toContain(await statusOf(server, path, { authorization }));
    }
    const wrong = [
      undefined,
      '',
      'Bearer',
      'Bearer open-sesame',
      basic('open'),
      'Basic !',
      'Digest open-sesame:1',
    ];
    for (const authorization of wrong) {
      const headers = authorization === undefined ? {} : { authorization };
      for (const path of ROUTES) expect(await statusOf(server, path, headers)).toBe(401);
    }
  });
});
