// The panel: one page with a button for each trouble and the two applications side by side, on loopback. Only its own
// page may cause a trouble: a request of another origin, or to a name that is not this machine's, is refused.

'use strict';

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const read = (name) => fs.readFileSync(path.join(__dirname, name));
const FILES = {
  '/': { type: 'text/html; charset=utf-8', body: read('panel.html') },
  '/panel.css': { type: 'text/css; charset=utf-8', body: read('panel.css') },
  '/panel.mjs': { type: 'text/javascript; charset=utf-8', body: read('panel.mjs') },
};
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

function nameOf({ host = '' }) {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(host);
  return (parts?.[1] ?? parts?.[2] ?? '').toLowerCase();
}

const isHere = (name) => net.isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost');

function isOwn({ origin, host, 'sec-fetch-site': site }) {
  if (origin !== undefined && origin !== `http://${host}`) return false;
  return site === undefined || site === 'same-origin';
}

function send(res, status, type, body) {
  res.writeHead(status, { ...HEADERS, 'content-type': type, 'content-length': Buffer.byteLength(body) });
  res.end(body);
}

const sendText = (res, status, text) => send(res, status, 'text/plain; charset=utf-8', `${text}\n`);

function stateOf({ applications, troubles }) {
  return {
    at: Date.now(),
    applications: applications.map(({ name, title, url, live, seconds }) => ({
      name,
      title,
      url,
      live,
      seconds,
    })),
    troubles: troubles?.list() ?? [],
    running: troubles?.running?.title ?? null,
    log: troubles?.log ?? [],
  };
}

function answer(req, res, demo) {
  if (!isHere(nameOf(req.headers))) return sendText(res, 403, 'this name is not known here');
  const cause = /^\/troubles\/(\w+)$/.exec(req.url);
  if (req.method === 'POST' && cause) {
    if (!isOwn(req.headers)) return sendText(res, 403, 'only the panel itself may do this');
    if (!demo.troubles?.cause(cause[1]))
      return sendText(res, 409, 'another trouble is under way, or there is none of this name');
    return sendText(res, 202, 'it begins');
  }
  if (req.method !== 'GET') return sendText(res, 405, 'GET only');
  if (req.url === '/state') return send(res, 200, 'application/json', JSON.stringify(stateOf(demo)));
  const file = Object.hasOwn(FILES, req.url) ? FILES[req.url] : null;
  return file ? send(res, 200, file.type, file.body) : sendText(res, 404, 'there is no such page');
}

// `demo`: the applications and the troubles. The caller makes it listen.
function createPanel(demo) {
  return http.createServer((req, res) => answer(req, res, demo));
}

module.exports = { createPanel };
