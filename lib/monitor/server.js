'use strict';

// A small HTTP server for the person on duty: `/` the live page, `/events` what feeds it, `/metrics` for
// Prometheus, `/health` for orchestrators. It listens on loopback unless told otherwise, and keeps no process alive.
// access.js decides who may ask.
//
// No request ends the process, whatever its bytes. A slow reader costs a bounded buffer at most: a page that falls
// behind is disconnected and connects again by itself.

const http = require('node:http');
const { accessRule } = require('./access');
const { LiveView } = require('./live-view');
const { metrics, metricsText } = require('./metrics');
const { livePage } = require('./page');
const { monotonicNow } = require('../async/timers');

const MOST_PAGES = 200;
const MOST_CONNECTIONS = 500;
// Bytes that may wait in memory for one reader.
const MOST_BEHIND = 1024 * 1024;
const READER_MILLIS = 30000;
// Scrapes closer together than this get the same text.
const TEXT_MILLIS = 200;

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

/**
 * Starts the server.
 * @param options `port` (default 9187, 0: any), `host` (default 127.0.0.1), `interval` (milliseconds between two
 *   samples, default 2000), `thresholds`, and of access.js `allowedHosts` and `token`
 * @returns a promise of `{ url, port, host, close() }`
 */
async function monitorServer(options = {}) {
  const { port = 9187, host = '127.0.0.1', interval, thresholds, allowedHosts, token } = options;
  const refuse = accessRule({ host, allowedHosts, token });
  const view = new LiveView({ interval, thresholds });
  const served = { view, page: livePage(), readers: new Set() };
  const server = http.createServer((request, response) => {
    try {
      const refusal = refuse(request);
      if (refusal) end(response, refusal.status, 'text/plain', refusal.body, refusal.headers);
      else answer(request, response, served);
    } catch {
      response.destroy();
    }
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.requestTimeout = READER_MILLIS;
  server.headersTimeout = READER_MILLIS;
  view.on('sample', (sample) => broadcast(served.readers, 'sample', sample));
  try {
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => resolve(undefined));
    });
  } catch (error) {
    view.close();
    throw error;
  }
  // A connection that cannot be accepted (no descriptors are left) is lost and nothing else.
  server.on('error', () => {});
  server.unref();
  const bound = /** @type {import('node:net').AddressInfo} */ (server.address()).port;
  return {
    port: bound,
    host,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/`,
    close: () => {
      view.close();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve(undefined)));
    },
  };
}

function answer(request, response, served) {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return end(response, 405, 'text/plain', 'GET only\n');
  const [route] = request.url.split('?', 1);
  switch (route) {
    case '/':
      return end(response, 200, 'text/html; charset=utf-8', served.page.html, {
        'content-security-policy': served.page.policy,
      });
    case '/metrics':
      return end(response, 200, 'text/plain; version=0.0.4; charset=utf-8', recentText());
    case '/health':
      return health(response, served.view);
    case '/events':
      return follow(request, response, served);
    default:
      return end(response, 404, 'text/plain', 'there are /, /metrics and /health\n');
  }
}

function end(response, status, type, body, more) {
  // A reader that is too slow is disconnected, and what was kept for it is freed.
  response.setTimeout(READER_MILLIS, () => response.destroy());
  const length = Buffer.byteLength(body);
  response.writeHead(status, { ...HEADERS, ...more, 'content-type': type, 'content-length': length });
  response.end(body);
}

let text = { at: -Infinity, body: '' };
function recentText() {
  const now = monotonicNow();
  if (now - text.at > TEXT_MILLIS) text = { at: now, body: metricsText() };
  return text.body;
}

/** 503 when a pool cannot work: its breaker is open, or it has no connection and cannot make one. */
function health(response, view) {
  const reasons = [];
  const alerts = [];
  for (const pool of metrics().pools) {
    const { name, breaker, breakerStops, connections, lastConnectError } = pool;
    if (breaker === 'open' && breakerStops) reasons.push(`${name}: the circuit breaker is open`);
    else if (lastConnectError !== null && connections.idle + connections.used === 0) {
      reasons.push(`${name}: no connection, connecting fails: ${lastConnectError}`);
    }
    alerts.push(...pool.alerts.map((rule) => `${name}: ${rule}`));
  }
  const status = reasons.length === 0 ? 'ok' : 'unhealthy';
  const body = JSON.stringify({ status, reasons, alerts, eventLoopLag: view.eventLoopLag });
  end(response, status === 'ok' ? 200 : 503, 'application/json', `${body}\n`);
}

function follow(request, response, { view, readers }) {
  if (request.method === 'HEAD') return end(response, 200, 'text/event-stream', '');
  if (readers.size >= MOST_PAGES)
    return end(response, 503, 'text/plain', `${MOST_PAGES} pages are open already\n`);
  response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' });
  readers.add(response);
  response.on('close', () => readers.delete(response));
  response.on('error', () => readers.delete(response));
  return response.write(message('history', view.history()));
}

function message(event, value) {
  return `event: ${event}\ndata: ${JSON.stringify(value)}\n\n`;
}

function broadcast(readers, event, value) {
  if (readers.size === 0) return;
  const bytes = Buffer.from(message(event, value));
  for (const response of readers) {
    if (response.writableLength > MOST_BEHIND) response.destroy();
    else response.write(bytes);
  }
}

module.exports = { monitorServer };
