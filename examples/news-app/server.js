// The HTTP side: finds the route, writes the answer, turns every error into a
// status, and stops gracefully. Run by itself it serves the newspaper of the
// database named by the environment (PORT, HOST; see the README).

'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const routes = require('./routes');
const pages = require('./pages');
const { fromEnvironment, listen } = require('./address');
const { BadRequest } = require('./input');
const { pools } = require('./db-utils');
const { errorLine } = require('./error-lines');
const links = require('./links');
const { startUpkeep } = require('./upkeep');

const HANDLER_LIMIT = 25000;
const STOP_LIMIT = 5000;
const STYLE = fs.readFileSync(path.join(__dirname, 'style.css'));

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
};

function send(req, res, { status, html, json, headers }) {
  if (res.headersSent || res.destroyed) return;
  const body = json === undefined ? html : JSON.stringify(json);
  const type = json === undefined ? 'text/html; charset=utf-8' : 'application/json; charset=utf-8';
  res.writeHead(status, {
    ...HEADERS,
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    ...headers,
  });
  res.end(body);
}

// The database is away, full or starting: worth another try in a moment.
function unavailable(err) {
  const code = String(err.code || '');
  return (
    /^(08...|53...|57P0.|25006)$/.test(code) ||
    /^(ECONN|ETIMEDOUT|EHOST|ENETUN|EPIPE|EAI_|ENOENT)/.test(code) ||
    /^(AcquireTimeout|CircuitOpen|PoolFull|RetryBudget)/.test(err.name) ||
    /timeout exceeded when trying to connect|Connection terminated|server took too long/i.test(err.message)
  );
}

function outcome(err) {
  if (err instanceof BadRequest) return { status: err.status, message: err.message, fields: err.fields };
  if (err.code === 'ERR_HANDLER_LIMIT') return { status: 503, message: 'this took too long' };
  if (unavailable(err)) return { status: 503, message: 'the database cannot be reached at the moment' };
  return { status: 500, message: 'an unexpected error' };
}

function sendError(req, res, url, err) {
  const { status, message, fields } = outcome(err);
  if (status >= 500) errorLine(`${req.method} ${url.pathname}: ${err.code || err.name}: ${err.message}`);
  const headers = { 'cache-control': 'no-store', ...err.headers };
  if (status === 503) headers['retry-after'] = '2';
  const isApi = url.pathname.startsWith('/api/') || url.pathname === '/health';
  send(
    req,
    res,
    isApi
      ? { status, json: { error: message, fields }, headers }
      : { status, html: pages.problem(status, message), headers },
  );
}

function parseUrl(req) {
  try {
    const url = new URL(req.url, 'http://localhost');
    decodeURIComponent(url.search.replace(/\+/g, ' '));
    return url;
  } catch {
    return null;
  }
}

function findRoute(method, pathname) {
  const asked = method === 'HEAD' ? 'GET' : method;
  const matching = routes.filter(([, pattern]) => pattern.test(pathname));
  if (matching.length === 0) throw new BadRequest('no such page', { status: 404 });
  const route = matching.find(([verb]) => verb === asked);
  if (route) return route;
  const err = new BadRequest('method not allowed', { status: 405 });
  err.headers = { allow: matching.map(([verb]) => verb).join(', ') };
  throw err;
}

function limited(promise) {
  let timer;
  const limit = new Promise((resolve, reject) => {
    timer = setTimeout(
      () => reject(Object.assign(new Error('handler limit reached'), { code: 'ERR_HANDLER_LIMIT' })),
      HANDLER_LIMIT,
    );
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

async function handle(req, res) {
  const url = parseUrl(req);
  if (!url) return send(req, res, { status: 400, html: pages.problem(400, 'the address is not valid') });
  try {
    if (url.pathname === '/style.css' && req.method === 'GET') {
      res.writeHead(200, {
        ...HEADERS,
        'content-type': 'text/css; charset=utf-8',
        'cache-control': 'max-age=300',
      });
      return res.end(STYLE);
    }
    const [, pattern, handler] = findRoute(req.method, url.pathname);
    const match = pattern.exec(url.pathname);
    send(req, res, await limited(handler({ req, match, params: url.searchParams })));
  } catch (err) {
    sendError(req, res, url, err);
  }
}

function createServer() {
  const server = http.createServer(handle);
  server.requestTimeout = 15000;
  server.headersTimeout = 10000;
  server.keepAliveTimeout = 5000;
  return server;
}

// Answers what has been asked, refuses what is new, then ends the pools.
async function stop(server) {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  const patience = setTimeout(() => server.closeAllConnections(), STOP_LIMIT);
  await closed;
  clearTimeout(patience);
  await pools.endAll();
}

// Only a driver that watches itself has something to show.
async function startMonitor({ NEWS_MONITOR_PORT: port }) {
  const { monitorServer } = require('./driver');
  if (!monitorServer || !port) return null;
  const monitor = await monitorServer({ port: Number(port) }).catch((err) => {
    if (err.code !== 'EADDRINUSE') throw err;
    return monitorServer({ port: 0 });
  });
  links.live = monitor.url;
  return monitor;
}

module.exports = { createServer, stop };

async function main() {
  const wanted = fromEnvironment(process.env);
  const monitor = await startMonitor(process.env);
  const stopUpkeep = process.env.NEWS_UPKEEP === 'on' ? startUpkeep() : () => undefined;
  const server = createServer();
  let stopping = false;
  const shutDown = () => {
    if (stopping) return;
    stopping = true;
    if (process.connected) process.disconnect();
    const ended = async () => {
      await stopUpkeep();
      await stop(server);
      await monitor?.close();
    };
    ended().then(
      () => console.log('stopped'),
      (err) => {
        console.error(err.message);
        process.exitCode = 1;
      },
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, shutDown);
  // Started by another Node process, it does not outlive it.
  process.on('disconnect', shutDown);
  const { url } = await listen(server, wanted);
  if (monitor) console.log(`live page on ${monitor.url}`);
  console.log(`listening on ${url}`);
  // Who has started this server is told where it is.
  if (process.connected) process.send({ url, live: links.live });
}

if (require.main === module) {
  main().catch((err) => {
    console.error(err.message);
    process.exitCode = 1;
    if (process.connected) process.disconnect();
  });
}
