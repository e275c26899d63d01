'use strict';

// The option `ssl`: which of its members the core serves itself, when Node has to do TLS instead, and the
// part of the core's settings that says how to verify the server.

const net = require('node:net');

// Options of tls.connect that only Node can serve. Unknown members are ignored, as by tls.connect.
const ONLY_NODE = [
  'checkServerIdentity',
  'pfx',
  'passphrase',
  'ciphers',
  'ecdhCurve',
  'sigalgs',
  'dhparam',
  'crl',
  'secureContext',
  'session',
  'SNICallback',
  'ALPNCallback',
  'pskCallback',
  'secureProtocol',
  'secureOptions',
  'privateKeyEngine',
  'privateKeyIdentifier',
  'clientCertEngine',
  'socket',
];

function checkTls(ssl) {
  // Any text asks for TLS: 'require' as well as 'true'.
  if (!ssl || ssl === true || typeof ssl === 'string' || typeof ssl === 'object') return;
  throw new TypeError("ssl must be true, false, 'no-verify' or an object of TLS options");
}

/** Whether Node carries the bytes: over the application's own stream, or over TLS as only Node can do it. */
function isCarriedByNode(options, ssl) {
  return Boolean(options.stream) || (typeof ssl === 'object' && ssl !== null && !isServedByCore(ssl));
}

function isServedByCore(ssl) {
  if (ONLY_NODE.some((name) => ssl[name] != null)) return false;
  return ['minVersion', 'maxVersion'].every((name) => {
    const version = ssl[name];
    return version == null || (name === 'minVersion' ? version !== 'TLSv1.3' : version === 'TLSv1.3');
  });
}

/** PEM text of an option that may be a string, a Buffer or an array of them. */
function pem(material) {
  if (material == null || material === false) return [];
  if (Array.isArray(material)) return material.flatMap(pem);
  if (typeof material === 'string') return [material];
  if (ArrayBuffer.isView(material)) {
    return [Buffer.from(material.buffer, material.byteOffset, material.byteLength).toString('utf8')];
  }
  if (material.pem != null && material.passphrase == null) return pem(material.pem);
  throw new TypeError('certificates and keys must be PEM text, as strings or Buffers');
}

function joined(material) {
  const parts = pem(material);
  return parts.length === 0 ? null : parts.join('\n');
}

function tlsSettings(parameters) {
  const ssl = parameters.ssl;
  if (!ssl) return null;
  checkTls(ssl);
  const host = parameters.host || '';
  const given = typeof ssl === 'object' ? ssl : {};
  const ca = pem(given.ca);
  return {
    ca: ca.length === 0 ? null : ca,
    cert: joined(given.cert),
    key: joined(given.key),
    // Node verifies unless it is told `false`.
    rejectUnauthorized: given.rejectUnauthorized !== false,
    // Of several hosts each is asked for by its own name.
    servername: net.isIP(host) === 0 && !host.includes(',') ? host : given.servername || null,
    direct: parameters.sslnegotiation === 'direct',
  };
}

module.exports = { checkTls, isCarriedByNode, tlsSettings };
