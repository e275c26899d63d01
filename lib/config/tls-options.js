'use strict';

// The option `ssl`: which of its forms the core serves itself, when Node has to do TLS instead, and the part of the
// core's settings that says how to verify the server. What makes no sense is Node's to refuse, in its own words.

const { SECRETS_OF_TLS } = require('./secrets');
const nodeTls = require('./node-tls');

// Options of tls.connect that only Node can serve. Unknown members are ignored, as by tls.connect.
const ONLY_NODE = [
  'checkServerIdentity',
  'pfx',
  'passphrase',
  'ciphers',
  'ecdhCurve',
  'sigalgs',
  'dhparam',
  'minDHSize',
  'crl',
  'secureContext',
  'session',
  'host',
  'SNICallback',
  'ALPNProtocols',
  'ALPNCallback',
  'pskCallback',
  'secureProtocol',
  'secureOptions',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'clientCertEngine',
  'allowPartialTrustChain',
  'certificateCompression',
  'requestOCSP',
  'enableTrace',
  'socket',
];

function checkTls(ssl) {
  // Any text asks for TLS: 'require' as well as 'true'.
  if (!ssl || ssl === true || typeof ssl === 'string' || typeof ssl === 'object') return;
  throw new TypeError("ssl must be true, false, 'no-verify' or an object of TLS options");
}

/** The options of tls.connect that `ssl` has. Secrets among them are not enumerable. */
function connectOptions(ssl) {
  if (typeof ssl !== 'object' || ssl === null) return {};
  const options = { ...ssl };
  for (const name of SECRETS_OF_TLS) if (ssl[name] !== undefined) options[name] = ssl[name];
  return options;
}

/**
 * The route of a connection, as settings of the core. `dial`: Node carries the bytes, over the application's own stream,
 * over TLS as only Node can do it, or to refuse the socket; `tls`: how the core encrypts.
 */
function tlsRoute(options, { ssl, sslnegotiation }) {
  checkTls(ssl);
  if (options.stream || !mayOpenSockets()) return { dial: true, tls: null };
  if (!ssl) return { dial: false, tls: null };
  const given = connectOptions(ssl);
  // Who verifies nothing, or against authorities of its own, needs no others.
  const extra = given.ca || given.rejectUnauthorized === false ? [] : nodeTls.extraAuthorities();
  if (extra === undefined || !isServedByCore(given)) return { dial: true, tls: null };
  return { dial: false, tls: coreTls(given, extra, sslnegotiation === 'direct') };
}

// Under Node's permission model sockets are for processes with --allow-net, where this version has it.
function mayOpenSockets() {
  /** @type {any} */
  const { permission, allowedNodeEnvironmentFlags } = process;
  return !permission || !allowedNodeEnvironmentFlags.has('--allow-net') || permission.has('net');
}

function isServedByCore(given) {
  return (
    ONLY_NODE.every((name) => given[name] == null) &&
    nodeTls.isServedByCore(given) &&
    areAuthorities(given.ca) &&
    [given.cert, given.key].every((material) => !material || isText(material)) &&
    Boolean(given.cert) === Boolean(given.key) &&
    (given.servername == null || typeof given.servername === 'string')
  );
}

// An empty list is no list: nobody is trusted.
function areAuthorities(ca) {
  if (Array.isArray(ca)) return ca.length > 0 && ca.every(isText);
  return !ca || isText(ca);
}

function isText(material) {
  return typeof material === 'string' || ArrayBuffer.isView(material);
}

function coreTls(given, extra, direct) {
  return {
    ca: given.ca ? [given.ca].flat().map(textOf) : null,
    extraCa: extra,
    cert: given.cert ? textOf(given.cert) : null,
    key: given.key ? textOf(given.key) : null,
    // Node verifies unless it is told `false`.
    rejectUnauthorized: given.rejectUnauthorized !== false,
    servername: given.servername || null,
    direct,
  };
}

function textOf(material) {
  if (typeof material === 'string') return material;
  return Buffer.from(material.buffer, material.byteOffset, material.byteLength).toString('utf8');
}

module.exports = { checkTls, connectOptions, tlsRoute };
