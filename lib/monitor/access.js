'use strict';

// Who may ask the monitor's server. Three bounds, before any path is looked at:
//
// - `Host` must be an address or a name that the server is known by, so that no page of another name that was pointed
//   at this address (DNS rebinding) reads it in the operator's browser;
// - a page of another origin gets nothing (`Origin`, `Sec-Fetch-Site`), but its links may lead here;
// - where the server listens on more than loopback, a token, unless the application says that it wants none.

const { createHash, timingSafeEqual } = require('node:crypto');
const net = require('node:net');

const LOOPBACK_NAME = /^(localhost|.+\.localhost)$/;

const isLoopback = (host) =>
  LOOPBACK_NAME.test(host) || host === '::1' || (net.isIPv4(host) && host.startsWith('127.'));

/**
 * @param options `host` the server listens on, `allowedHosts` other names it is known by, `token` (false: none)
 * @returns a function of a request: undefined, or `{ status, body, headers }` of the refusal
 * @throws TypeError for options that make no sense, and for a host beyond loopback without a token
 */
function accessRule({ host, allowedHosts = [], token }) {
  if (!Array.isArray(allowedHosts) || !allowedHosts.every((name) => typeof name === 'string')) {
    throw new TypeError('allowedHosts must be an array of host names');
  }
  if (token !== undefined && token !== false && (typeof token !== 'string' || token === '')) {
    throw new TypeError('token must be a string that is not empty, or false');
  }
  if (token === undefined && !isLoopback(host)) {
    throw new TypeError(
      `monitorServer() on ${host} can be reached from elsewhere: give a token, or token: false where everybody who reaches it may read it`,
    );
  }
  const names = new Set([host, ...allowedHosts].map((name) => name.toLowerCase()));
  return ({ headers }) => {
    const asked = hostOf(headers.host);
    if (asked === undefined || !(net.isIP(asked) || LOOPBACK_NAME.test(asked) || names.has(asked))) {
      return { status: 403, body: 'this Host is not one of allowedHosts\n' };
    }
    if (isForeign(headers)) return { status: 403, body: 'pages of another origin may not read this\n' };
    if (token && !bears(headers.authorization, token)) {
      return {
        status: 401,
        body: 'a token is needed\n',
        headers: { 'www-authenticate': 'Basic realm="monitor"' },
      };
    }
    return undefined;
  };
}

/** The name or address in a `Host` header, in lower case and without port and brackets; undefined when it is none. */
function hostOf(header) {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(header ?? '');
  return (parts?.[1] ?? parts?.[2])?.toLowerCase();
}

function isForeign(headers) {
  const { origin, host } = headers;
  if (origin !== undefined && origin.replace(/^https?:\/\//, '') !== host) return true;
  const site = headers['sec-fetch-site'];
  if (site === undefined || site === 'same-origin' || site === 'none') return false;
  // A link of another page, which that page cannot read.
  return !(headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document');
}

/** Whether `Authorization` carries the token: as Bearer, or as the password of Basic, which browsers ask for. */
function bears(authorization, token) {
  const [, scheme, value] = /^(Bearer|Basic) +(\S+)$/i.exec(authorization ?? '') ?? [];
  if (value === undefined) return false;
  const given =
    scheme.toLowerCase() === 'bearer'
      ? value
      : Buffer.from(value, 'base64')
          .toString()
          .replace(/^[^:]*:/, '');
  return timingSafeEqual(digest(given), digest(token));
}

// Of equal length whatever was given.
const digest = (text) => createHash('sha256').update(text).digest();

module.exports = { accessRule };
