'use strict';

// A small HTTP server for the person on duty: `/` the live page, `/events` what feeds it, `/metrics` for
// Prometheus, `/health` for orchestrators. It listens on loopback unless told otherwise, and keeps no process alive.
// Who may ask is decided in access.js.
//
// No request ends the process, whatever its bytes. Nobody who reads slowly costs more than a bounded buffer: a page that falls behind is cut off and
// connects again by itself.

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { accessRule } = require('./access');
const { metricsText } = require('./metrics');
const { Observation } = require('./live-view');

const MOST_PAGES = 200;
const MOST_CONNECTIONS = 500;
// What may wait in memory for one reader.
const MOST_BEHIND = 1024 * 1024;
const READER_MILLIS = 30000;
// Scrapes closer together than this get the same text.
const TEXT_MILLIS = 200;

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
};

/**
 * Starts the server.
 * @param options `port` (default 9187, 0: any), `host` (default 127.0.0.1), `interval` (milliseconds between two
 *   looks, default 2000), `thresholds`, and of access.js `allowedHosts` and `token`
 * @returns a promise of `{ url, port, host, close() }`
 */
async function monitorServer(options = {}) {
  const { port = 9187, host = '127.0.0.1', interval, thresholds, allowedHosts, token } = options;
  const refuse = accessRule({ host, allowedHosts, token });
  const observation = new Observation({ interval, thresholds });
  const pages = new Set();
  const server = http.createServer((request, response) => {
    try {
      const refusal = refuse(request);
      if (refusal) end(response, refusal.status, 'text/plain', refusal.body, refusal.headers);
      else answer(request, response, observation, pages);
    } catch {
      response.destroy();
    }
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.requestTimeout = READER_MILLIS;
  server.headersTimeout = READER_MILLIS;
  observation.on('look', (look) => broadcast(pages, 'look', look));
  try {
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, resolve);
    });
  } catch (error) {
    observation.close();
    throw error;
  }
  // A connection that could not be accepted, for want of descriptors for instance, is lost and nothing else.
  server.on('error', () => {});
  server.unref();
  const bound = server.address().port;
  return {
    port: bound,
    host,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}/`,
    close: () => {
      observation.close();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function answer(request, response, observation, pages) {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return end(response, 405, 'text/plain', 'GET only\n');
  const [route] = request.url.split('?', 1);
  switch (route) {
    case '/':
      return end(response, 200, 'text/html; charset=utf-8', page());
    case '/metrics':
      return end(response, 200, 'text/plain; version=0.0.4; charset=utf-8', recentText());
    case '/health':
      return health(response, observation);
    case '/events':
      return follow(request, response, observation, pages);
    default:
      return end(response, 404, 'text/plain', 'there are /, /metrics and /health\n');
  }
}

function end(response, status, type, body, more) {
  // Who does not read in time is cut off, and what was kept for them is freed.
  response.setTimeout(READER_MILLIS, () => response.destroy());
  const length = Buffer.byteLength(body);
  response.writeHead(status, { ...HEADERS, ...more, 'content-type': type, 'content-length': length });
  response.end(body);
}

let html;
function page() {
  if (html === undefined) html = fs.readFileSync(path.join(__dirname, 'page.html'), 'utf8');
  return html;
}

let text = { at: -Infinity, body: '' };
function recentText() {
  const now = performance.now();
  if (now - text.at > TEXT_MILLIS) text = { at: now, body: metricsText() };
  return text.body;
}

/** 503 when a pool cannot work: its breaker is open, or it has no connection and cannot make one. */
function health(response, observation) {
  const reasons = [];
  const alerts = [];
  for (const {
    name,
    breaker,
    breakerStops,
    connections,
    lastConnectError,
    alerts: firing,
  } of require('./metrics').metrics().pools) {
    if (breaker === 'open' && breakerStops) reasons.push(`${name}: the circuit breaker is open`);
    else if (lastConnectError !== null && connections.idle + connections.used === 0) {
      reasons.push(`${name}: no connection, connecting fails: ${lastConnectError}`);
    }
    alerts.push(...firing.map((rule) => `${name}: ${rule}`));
  }
  const status = reasons.length === 0 ? 'ok' : 'unhealthy';
  const body = JSON.stringify({ status, reasons, alerts, eventLoopLag: observation.lag });
  end(response, status === 'ok' ? 200 : 503, 'application/json', `${body}\n`);
}

function follow(request, response, observation, pages) {
  if (request.method === 'HEAD') return end(response, 200, 'text/event-stream', '');
  if (pages.size >= MOST_PAGES)
    return end(response, 503, 'text/plain', `${MOST_PAGES} pages are open already\n`);
  response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream' });
  pages.add(response);
  response.on('close', () => pages.delete(response));
  response.on('error', () => pages.delete(response));
  return response.write(message('history', observation.history()));
}

function message(event, value) {
  return `event: ${event}\ndata: ${JSON.stringify(value)}\n\n`;
}

function broadcast(pages, event, value) {
  if (pages.size === 0) return;
  const bytes = Buffer.from(message(event, value));
  for (const response of pages) {
    if (response.writableLength > MOST_BEHIND) response.destroy();
    else response.write(bytes);
  }
}

module.exports = { monitorServer };
