'use strict';

// The certificates of a test run, made when they are needed and never stored in the repository:
// an authority, server certificates that are right or wrong in one way each, and a client's.

const fs = require('node:fs');
const path = require('node:path');
const crypto = require('node:crypto');
const { promisify } = require('node:util');
const forge = require('node-forge');

const DAY = 24 * 60 * 60 * 1000;

const generateKeyPair = promisify(crypto.generateKeyPair);

// Node makes the keys and signs; forge, which would take far longer in JavaScript, writes the rest.
async function keyPair() {
  const { publicKey, privateKey } = await generateKeyPair('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  return { pem: privateKey, public: forge.pki.publicKeyFromPem(publicKey) };
}

function signer(cert, keys) {
  const signed = () => Buffer.from(forge.asn1.toDer(cert.tbsCertificate).getBytes(), 'latin1');
  return { sign: () => crypto.sign('sha256', signed(), keys.pem).toString('latin1') };
}

function certificate({ commonName, keys, issuer, extensions, from = -DAY, until = 30 * DAY }) {
  const cert = forge.pki.createCertificate();
  const subject = [{ name: 'commonName', value: commonName }];
  cert.publicKey = keys.public;
  // The first byte is neither zero nor above 127: DER forbids padding, and a serial number is positive.
  cert.serialNumber = '01' + crypto.randomBytes(15).toString('hex');
  cert.validity.notBefore = new Date(Date.now() + from);
  cert.validity.notAfter = new Date(Date.now() + until);
  cert.setSubject(subject);
  cert.setIssuer(issuer ? issuer.subject : subject);
  cert.setExtensions(extensions);
  cert.sign(signer(cert, issuer ? issuer.keys : keys), forge.md.sha256.create());
  return forge.pki.certificateToPem(cert);
}

function authority(commonName, keys) {
  const subject = [{ name: 'commonName', value: commonName }];
  const pem = certificate({
    commonName,
    keys,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { keys, subject, pem };
}

function leaf(issuer, keys, { commonName, hosts = [], addresses = [], client = false, ...validity }) {
  const altNames = [
    ...hosts.map((value) => ({ type: 2, value })),
    ...addresses.map((ip) => ({ type: 7, ip })),
  ];
  const extensions = [
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: !client, clientAuth: client },
  ];
  if (altNames.length > 0) extensions.push({ name: 'subjectAltName', altNames });
  return certificate({ commonName, keys, issuer, extensions, ...validity });
}

/**
 * Writes the set into `directory`. Each part is `{ cert, key, certFile, keyFile }`:
 * `server` (localhost, 127.0.0.1, ::1), `expired`, `wrongHost` (db.example.test),
 * `foreign` (right names, another authority), `client` (CN = `clientName`), `foreignClient`.
 * `ca` and `foreignCa` are PEM texts with `caFile` and `foreignCaFile` beside them.
 */
async function makeCertificates(directory, clientName) {
  const [caKeys, foreignKeys, serverKeys, clientKeys] = await Promise.all([
    keyPair(),
    keyPair(),
    keyPair(),
    keyPair(),
  ]);
  const ca = authority('pgpool-rs test authority', caKeys);
  const foreignCa = authority('pgpool-rs foreign authority', foreignKeys);
  const local = { commonName: 'localhost', hosts: ['localhost'], addresses: ['127.0.0.1', '::1'] };
  const client = { commonName: clientName, client: true };

  const write = (name, text, mode) => {
    const file = path.join(directory, name);
    fs.writeFileSync(file, text, { mode });
    return file;
  };
  const part = (name, keys, cert) => ({
    cert,
    key: keys.pem,
    certFile: write(`${name}.crt`, cert),
    keyFile: write(`${name}.key`, keys.pem, 0o600),
  });
  return {
    ca: ca.pem,
    caFile: write('ca.crt', ca.pem),
    foreignCa: foreignCa.pem,
    foreignCaFile: write('foreign-ca.crt', foreignCa.pem),
    server: part('server', serverKeys, leaf(ca, serverKeys, local)),
    expired: part('expired', serverKeys, leaf(ca, serverKeys, { ...local, from: -10 * DAY, until: -DAY })),
    wrongHost: part(
      'wrong-host',
      serverKeys,
      leaf(ca, serverKeys, { commonName: 'db.example.test', hosts: ['db.example.test'] }),
    ),
    foreign: part('foreign', serverKeys, leaf(foreignCa, serverKeys, local)),
    client: part('client', clientKeys, leaf(ca, clientKeys, client)),
    foreignClient: part('foreign-client', clientKeys, leaf(foreignCa, clientKeys, client)),
  };
}

module.exports = { makeCertificates };
