'use strict';

// An authority that issues any certificate, also such as no authority should: version 1, keys and signatures of
// every kind that OpenSSL knows, extensions that nobody knows. Written in DER here, signed by Node.

const crypto = require('node:crypto');
const { promisify } = require('node:util');

const DAY = 24 * 60 * 60 * 1000;
const generateKeyPair = promisify(crypto.generateKeyPair);

const KEYS = {
  rsa: ['rsa', { modulusLength: 2048 }],
  weak: ['rsa', { modulusLength: 1024 }],
  pss: [
    'rsa-pss',
    { modulusLength: 2048, hashAlgorithm: 'sha256', mgf1HashAlgorithm: 'sha256', saltLength: 32 },
  ],
  p256: ['ec', { namedCurve: 'P-256' }],
  p384: ['ec', { namedCurve: 'P-384' }],
  p521: ['ec', { namedCurve: 'P-521' }],
  ed25519: ['ed25519'],
};

/** A new key of a kind in KEYS: `{ publicKey, privateKey }`. */
const makeKey = (kind = 'rsa') => generateKeyPair(...KEYS[kind]);

function der(tag, ...parts) {
  const body = Buffer.concat(parts);
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length = Buffer.from(body.length.toString(16).padStart(body.length < 256 ? 2 : 4, '0'), 'hex');
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
}

const sequence = (...parts) => der(0x30, ...parts);
const set = (...parts) => der(0x31, ...parts);
const octets = (bytes) => der(0x04, bytes);
const bits = (bytes, unused = 0) => der(0x03, Buffer.from([unused]), bytes);
const integer = (bytes) => der(0x02, bytes);
const explicit = (number, part) => der(0xa0 | number, part);
const TRUE = der(0x01, Buffer.from([0xff]));
const NULL = der(0x05);

function oid(text) {
  const [first, second, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const number of rest) {
    const digits = [number & 0x7f];
    for (let left = number >>> 7; left > 0; left >>>= 7) digits.unshift(0x80 | (left & 0x7f));
    bytes.push(...digits);
  }
  return der(0x06, Buffer.from(bytes));
}

const nameOf = (commonName) => sequence(set(sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(commonName)))));

function time(millis) {
  const text = new Date(millis).toISOString().replace(/[-:T]/g, '').slice(2, 14);
  return der(0x17, Buffer.from(`${text}Z`));
}

const HASHES = {
  sha1: { rsa: '1.2.840.113549.1.1.5', ec: '1.2.840.10045.4.1', own: '1.3.14.3.2.26' },
  sha256: { rsa: '1.2.840.113549.1.1.11', ec: '1.2.840.10045.4.3.2', own: '2.16.840.1.101.3.4.2.1' },
  sha384: { rsa: '1.2.840.113549.1.1.12', ec: '1.2.840.10045.4.3.3', own: '2.16.840.1.101.3.4.2.2' },
  sha512: { rsa: '1.2.840.113549.1.1.13', ec: '1.2.840.10045.4.3.4', own: '2.16.840.1.101.3.4.2.3' },
};

function pssAlgorithm(hash) {
  const hashing = sequence(oid(HASHES[hash].own), NULL);
  return sequence(
    oid('1.2.840.113549.1.1.10'),
    sequence(
      explicit(0, hashing),
      explicit(1, sequence(oid('1.2.840.113549.1.1.8'), hashing)),
      explicit(2, integer(Buffer.from([crypto.createHash(hash).digest().length]))),
    ),
  );
}

/** How `key` signs with `hash`: the algorithm in DER, and what node:crypto wants to know. */
function signature(key, hash, pss) {
  const kind = key.asymmetricKeyType;
  if (kind === 'ed25519') return { algorithm: sequence(oid('1.3.101.112')), hash: null };
  if (kind === 'ec') return { algorithm: sequence(oid(HASHES[hash].ec)), hash };
  if (kind === 'rsa' && !pss) return { algorithm: sequence(oid(HASHES[hash].rsa), NULL), hash };
  const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
  return {
    algorithm: pssAlgorithm(hash),
    hash,
    padding,
    saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST,
  };
}

const extension = (id, value, critical = false) =>
  sequence(oid(id), ...(critical ? [TRUE] : []), octets(value));

const extensions = {
  authority: (isOne, pathLength) =>
    extension(
      '2.5.29.19',
      sequence(
        ...(isOne ? [TRUE] : []),
        ...(pathLength === undefined ? [] : [integer(Buffer.from([pathLength]))]),
      ),
      true,
    ),
  /** The first bits are digitalSignature (0x80), keyEncipherment (0x20), keyCertSign (0x04), cRLSign (0x02). */
  keyUsage: (usage) => extension('2.5.29.15', bits(Buffer.from([usage])), true),
  purpose: (...purposes) => {
    const ids = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' };
    return extension('2.5.29.37', sequence(...purposes.map((purpose) => oid(ids[purpose]))));
  },
  names: ({ hosts = [], addresses = [] }) =>
    extension(
      '2.5.29.17',
      sequence(
        ...hosts.map((host) => der(0x82, Buffer.from(host))),
        ...addresses.map((address) => der(0x87, Buffer.from(address.split('.').map(Number)))),
      ),
    ),
  unknown: (critical) => extension('1.3.6.1.4.1.99999.1', NULL, critical),
};

function pem(label, bytes) {
  const lines = bytes.toString('base64').match(/.{1,64}/g);
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/**
 * Issues a certificate for `key`.
 * @param issuer what this function has returned for the issuer; none: it signs itself
 * @param extensions made by `extensions`; none for version 1
 * @returns `{ commonName, cert, key, keys }`: certificate and private key as PEM texts
 */
function issue({
  commonName,
  key,
  issuer,
  version = 3,
  extensions: own = [],
  from = -DAY,
  until = 30 * DAY,
  hash = 'sha256',
  pss = false,
}) {
  const signer = issuer ? issuer.keys : key;
  const { algorithm, hash: digest, ...padding } = signature(signer.privateKey, hash, pss);
  const serial = Buffer.concat([Buffer.from([1]), crypto.randomBytes(15)]);
  const signed = sequence(
    ...(version === 3 ? [explicit(0, integer(Buffer.from([2])))] : []),
    integer(serial),
    algorithm,
    nameOf(issuer ? issuer.commonName : commonName),
    sequence(time(Date.now() + from), time(Date.now() + until)),
    nameOf(commonName),
    key.publicKey.export({ type: 'spki', format: 'der' }),
    ...(version === 3 && own.length > 0 ? [explicit(3, sequence(...own))] : []),
  );
  const signatureBytes = crypto.sign(digest, signed, { key: signer.privateKey, ...padding });
  return {
    commonName,
    keys: key,
    cert: pem('CERTIFICATE', sequence(signed, algorithm, bits(signatureBytes))),
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}

/** An authority that signs others. */
function issueAuthority(commonName, key, more = {}) {
  const own = [extensions.authority(true), extensions.keyUsage(0x06)];
  return issue({ commonName, key, extensions: own, ...more });
}

module.exports = { DAY, extensions, issue, issueAuthority, makeKey, pem };
