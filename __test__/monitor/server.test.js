'use strict';

// The monitor's server: what it serves, and that nobody who reads badly hurts anybody.

const http = require('node:http');
const net = require('node:net');
const { metrics, monitorServer } = require('../..');
const { Proxy } = require('../support/proxy');
const { config } = require('../support/server');
const { open, undo } = require('../support/undo');
const { until } = require('../support/until');

async function serve(options) {
  const server = await monitorServer({ port: 0, interval: 20, ...options });
  undo.push(() => server.close());
  return server;
}

function get(url, path) {
  return new Promise((resolve, reject) => {
    const request = http.get(new URL(path, url), { agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    request.on('error', reject);
  });
}

/** What /health tells of one pool; it has all pools of the process, those of other test files too. */
async function reasons(server, name) {
  const { status, body } = await get(server.url, '/health');
  const all = JSON.parse(body).reasons;
  expect(status).toBe(all.length === 0 ? 200 : 503);
  return all.filter((reason) => reason.startsWith(`${name}: `));
}

// A page that reads, or one that only asks.
function page(server, reads = true) {
  const socket = net.connect(server.port, server.host);
  let text = '';
  socket.on('error', () => {});
  if (reads) socket.setEncoding('utf8').on('data', (more) => (text += more));
  else socket.pause();
  socket.write('GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n');
  undo.push(() => socket.destroy());
  return { socket, text: () => text };
}

test('it listens on loopback and serves the page, the metrics and nothing else', async () => {
  const server = await serve();
  const pool = open({ tier: 'served' });
  await pool.query('SELECT 1');
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  const root = await get(server.url, '/');
  expect(root.status).toBe(200);
  expect(root.headers['content-type']).toContain('text/html');
  expect(root.body).not.toMatch(/(src|href)="https?:/);
  expect(root.headers['content-security-policy']).toMatch(
    /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self'; /,
  );
  expect(root.headers['content-security-policy']).not.toContain('unsafe');
  await until(async () => (await get(server.url, '/metrics')).body.includes('pool_name="served"'));
  expect((await get(server.url, '/secrets')).status).toBe(404);
});

test('/health is 200 while pools work, 503 with the reason while one cannot, and 200 again', async () => {
  const server = await serve();
  const { host, port } = config();
  const proxy = await Proxy.start({ host, port });
  undo.push(() => proxy.stop());
  const pool = open({ tier: 'ill', host: proxy.host, port: proxy.port });
  await pool.query('SELECT 1');
  expect(await reasons(server, 'ill')).toEqual([]);
  await proxy.refuse();
  proxy.cut();
  await until(() => pool.totalCount === 0);
  await pool.query('SELECT 1').catch(() => {});
  expect(await reasons(server, 'ill')).toEqual([expect.stringContaining('ECONNREFUSED')]);
  await proxy.listen();
  await until(() =>
    pool.query('SELECT 1').then(
      () => true,
      () => false,
    ),
  );
  expect(await reasons(server, 'ill')).toEqual([]);
});

test('a page gets the history first and then every sample', async () => {
  const pool = open({ tier: 'followed' });
  await pool.query('SELECT 1');
  const server = await serve();
  const { text } = page(server);
  await until(() => (text().match(/^event: sample$/gm) || []).length >= 3);
  const events = text()
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)));
  expect(events[0].fields).toContain('queryP95');
  expect(events[0].pools.map(({ name }) => name)).toContain('followed');
  const sample = events[1].pools.find(({ name }) => name === 'followed');
  expect(sample.point).toHaveLength(events[0].fields.length);
  expect(sample.connections).toMatchObject({ total: 1, max: 2 });
});

test('a hundred pages and scrapers that do not read harm neither queries nor memory', async () => {
  const server = await serve();
  const pool = open({ tier: 'crowded' });
  const idle = Array.from({ length: 100 }, (_, i) => page(server, i % 2 === 0));
  for (let i = 0; i < 20; i++) {
    const socket = net
      .connect(server.port, server.host)
      .pause()
      .on('error', () => {});
    socket.write('GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n');
    undo.push(() => socket.destroy());
  }
  await until(() => idle[0].text().includes('event: sample'));
  const before = idle[0].text().length;
  for (let i = 0; i < 200; i++) await pool.query('SELECT $1::int', [i]);
  await until(() => idle[0].text().length > before);
  expect(metrics().pools.find(({ name }) => name === 'crowded')).toMatchObject({
    operations: 200,
    errors: 0,
  });
});

test('beyond two hundred pages the next is refused', async () => {
  const server = await serve({ interval: 3600000 });
  const pages = Array.from({ length: 200 }, () => page(server));
  await until(() => pages.every(({ text }) => text().includes('event: history')));
  expect((await get(server.url, '/events')).status).toBe(503);
  pages[0].socket.destroy();
  const next = await until(async () => {
    const candidate = page(server);
    await until(() => candidate.text() !== '');
    return candidate.text().includes('200 OK');
  });
  expect(next).toBe(true);
});

test('a taken port is an error, and leaves nothing running', async () => {
  const server = await serve();
  await expect(monitorServer({ port: server.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
});

test('a breaker that only counts leaves a pool healthy', async () => {
  const server = await serve();
  const { host, port } = config();
  const proxy = await Proxy.start({ host, port });
  undo.push(() => proxy.stop());
  const pool = open({
    tier: 'telling',
    host: proxy.host,
    port: proxy.port,
    breaker: { mode: 'metrics', failedConnects: 1, failingMillis: 0 },
  });
  const client = await pool.connect();
  undo.push(() => client.release());
  await proxy.refuse();
  await pool.query('SELECT 1').catch(() => {});
  expect(metrics().pools.find(({ name }) => name === 'telling')).toMatchObject({
    breaker: 'open',
    breakerStops: false,
  });
  expect(await reasons(server, 'telling')).toEqual([]);
});

test('attempts that fail alike are told as one, with their number, to whoever comes later', async () => {
  const server = await serve();
  // A port of its own: other files of this process are refused at others, which would count as alike.
  const pool = open({ tier: 'repeating', host: '127.0.0.1', port: 2 });
  for (let i = 0; i < 7; i++) await pool.query('SELECT 1').catch(() => {});
  const told = await until(async () => {
    const { text, socket } = page(server);
    await until(() => text().includes('event: history') && text().includes('\n\n'));
    socket.destroy();
    const data = text()
      .split('\n')
      .find((line) => line.startsWith('data: '));
    const events = JSON.parse(data.slice('data: '.length)).events.filter(({ pools }) =>
      pools.includes('repeating'),
    );
    return events.some(({ count }) => count === 7) && events;
  });
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({ event: 'connect_failed', count: 7, first: expect.any(Number) });
});
