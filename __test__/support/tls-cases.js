'use strict';

// The rows and columns of the TLS matrix: servers with certificates of every kind, clients with certificates of every
// kind, forms of the option `ssl` and of connection strings. Made anew for each run.

const fs = require('node:fs');
const path = require('node:path');
const { DAY, extensions, issue, issueAuthority, makeKey } = require('./authority');

const { authority, keyUsage, names, purpose, unknown } = extensions;
const LOCAL = { hosts: ['localhost'], addresses: ['127.0.0.1'] };
const PASSPHRASE = 'open sesame';

async function makeKeys() {
  const kinds = ['rsa', 'weak', 'pss', 'p256', 'p384', 'p521', 'ed25519'];
  const made = await Promise.all([...kinds, 'rsa'].map((kind) => makeKey(kind)));
  return { ...Object.fromEntries(kinds.map((kind, at) => [kind, made[at]])), authority: made.at(-1) };
}

function makeAuthorities(keys) {
  const ca = issueAuthority('test authority', keys.authority);
  return {
    ca,
    // Of other keys, another name, another time.
    foreign: issueAuthority('foreign authority', keys.p256),
    expired: issueAuthority('expired authority', keys.authority, { from: -9 * DAY, until: -DAY }),
    v1: issue({ commonName: 'old authority', key: keys.authority, version: 1 }),
    intermediate: issueAuthority('intermediate authority', keys.p256, { issuer: ca }),
  };
}

/** name -> options of tls.createServer. */
function makeServers(keys, { ca, foreign, expired, v1, intermediate }) {
  const own = [authority(false), keyUsage(0xa0), purpose('server'), names(LOCAL)];
  const leaf = (more = {}) =>
    issue({ commonName: 'localhost', key: keys.rsa, issuer: ca, extensions: own, ...more });
  const served = ({ cert, key }, more) => ({ cert, key, ...more });
  const chained = leaf({ issuer: intermediate });
  return {
    RSA: served(leaf()),
    'P-256': served(leaf({ key: keys.p256 })),
    'P-384': served(leaf({ key: keys.p384 })),
    'P-521': served(leaf({ key: keys.p521 })),
    Ed25519: served(leaf({ key: keys.ed25519 })),
    'RSA-PSS': served(leaf({ key: keys.pss })),
    'RSA of 1024 bits': served(leaf({ key: keys.weak })),
    'signed with RSA-PSS': served(leaf({ pss: true })),
    'signed with SHA-1': served(leaf({ hash: 'sha1' })),
    'signed with SHA-512': served(leaf({ hash: 'sha512' })),
    'version 1': served(leaf({ version: 1 })),
    'a common name and no others': served(leaf({ extensions: [authority(false)] })),
    'an authority': served(leaf({ extensions: [authority(true), names(LOCAL)] })),
    'self-signed authority': served(leaf({ issuer: null, extensions: [authority(true), names(LOCAL)] })),
    'self-signed': served(leaf({ issuer: null })),
    'self-signed of version 1': served(leaf({ issuer: null, version: 1 })),
    'unknown critical extension': served(leaf({ extensions: [...own, unknown(true)] })),
    'unknown extension': served(leaf({ extensions: [...own, unknown(false)] })),
    'for clients': served(leaf({ extensions: [purpose('client'), names(LOCAL)] })),
    'for signing certificates': served(leaf({ extensions: [keyUsage(0x04), names(LOCAL)] })),
    expired: served(leaf({ from: -9 * DAY, until: -DAY })),
    'not yet valid': served(leaf({ from: DAY })),
    'of another name': served(leaf({ extensions: [names({ hosts: ['db.example.test'] })] })),
    'of an address': served(leaf({ extensions: [names({ addresses: ['127.0.0.1'] })] })),
    'of another address': served(leaf({ extensions: [names({ addresses: ['192.0.2.1'] })] })),
    'of half a name': served(leaf({ extensions: [names({ hosts: ['l*.example.test', '*host'] })] })),
    'of a foreign authority': served(leaf({ issuer: foreign })),
    'of an expired authority': served(leaf({ issuer: expired })),
    'of an authority of version 1': served(leaf({ issuer: v1 })),
    'of an intermediate that is sent': served({ ...chained, cert: chained.cert + intermediate.cert }),
    'of an intermediate that is not sent': served(chained),
    'with its root': served({ ...leaf(), cert: leaf().cert + ca.cert }),
    'self-signed and expired': served(leaf({ issuer: null, from: -9 * DAY, until: -DAY })),
    'TLS 1.2 with RSA key exchange': served(leaf(), {
      maxVersion: 'TLSv1.2',
      ciphers: 'AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0',
    }),
    'TLS 1.2': served(leaf(), { maxVersion: 'TLSv1.2' }),
    'TLS 1.3': served(leaf(), { minVersion: 'TLSv1.3' }),
    'TLS 1.1': served(leaf(), { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }),
  };
}

/** name -> a function that gives the options of tls.connect. */
function makeClients(keys, { ca, foreign, intermediate }) {
  const own = [authority(false), keyUsage(0x80), purpose('client')];
  const leaf = (more = {}) =>
    issue({ commonName: 'cert_user', key: keys.rsa, issuer: ca, extensions: own, ...more });
  const shown = ({ cert, key }, more) => ({ cert, key, ...more });
  const chained = leaf({ issuer: intermediate });
  const encrypted = keys.rsa.privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: PASSPHRASE,
  });
  const good = leaf();
  return {
    RSA: shown(good),
    'P-256': shown(leaf({ key: keys.p256 })),
    'P-521': shown(leaf({ key: keys.p521 })),
    Ed25519: shown(leaf({ key: keys.ed25519 })),
    'RSA-PSS': shown(leaf({ key: keys.pss })),
    'RSA of 1024 bits': shown(leaf({ key: keys.weak })),
    'version 1': shown(leaf({ version: 1 })),
    expired: shown(leaf({ from: -9 * DAY, until: -DAY })),
    'of a foreign authority': shown(leaf({ issuer: foreign })),
    'with its intermediate': shown({ ...chained, cert: chained.cert + intermediate.cert }),
    'PKCS #1 key': { cert: good.cert, key: keys.rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }) },
    Buffers: { cert: Buffer.from(good.cert), key: Buffer.from(good.key) },
    'byte order mark': { cert: `\ufeff${good.cert}`, key: good.key },
    'byte order mark before the key': { cert: good.cert, key: `\ufeff${good.key}` },
    'a text before it': { cert: `subject=CN = cert_user\n\n${good.cert}`, key: good.key },
    'lines of Windows': { cert: good.cert.replaceAll('\n', '\r\n'), key: good.key.replaceAll('\n', '\r\n') },
    'trusted certificate': {
      cert: good.cert.replaceAll(' CERTIFICATE', ' TRUSTED CERTIFICATE'),
      key: good.key,
    },
    'key with its passphrase': { cert: good.cert, key: [{ pem: encrypted, passphrase: PASSPHRASE }] },
    'key and passphrase': { cert: good.cert, key: encrypted, passphrase: PASSPHRASE },
    'encrypted key': { cert: good.cert, key: encrypted },
    'key of another': { cert: good.cert, key: leaf({ key: keys.p256 }).key },
    'no key': { cert: good.cert },
    'no certificate': { key: good.key },
    'empty certificate': { cert: '', key: good.key },
    'empty certificate and key': { cert: '', key: '' },
    rubbish: { cert: 'rubbish', key: 'rubbish' },
    'a number': { cert: 42, key: good.key },
    'a list of certificates': { cert: [good.cert], key: [good.key] },
  };
}

/** name -> a function that gives `{ host, ssl }`. `more`: options of tls.connect beside. */
function makeForms({ ca, foreign, expired, v1, intermediate }, servers) {
  const on = (ssl, host = 'localhost') => ({ host, ssl });
  const pinned = (...names) => names.map((name) => servers[name].cert);
  return {
    true: () => on(true),
    'no-verify': () => on('no-verify'),
    'an empty object': (more) => on({ ...more }),
    ca: (more) => on({ ca: ca.cert, ...more }),
    'ca, by address': (more) => on({ ca: ca.cert, ...more }, '127.0.0.1'),
    'ca, by address and name': (more) => on({ ca: ca.cert, servername: 'localhost', ...more }, '127.0.0.1'),
    'ca as a list of Buffers': (more) => on({ ca: [Buffer.from(ca.cert), foreign.cert], ...more }),
    'ca with old ones': (more) => on({ ca: [ca.cert, expired.cert, v1.cert].join('\n'), ...more }),
    'foreign ca': (more) => on({ ca: foreign.cert, ...more }),
    'expired ca': (more) => on({ ca: expired.cert, ...more }),
    'ca of version 1': (more) => on({ ca: v1.cert, ...more }),
    'intermediate as ca': (more) => on({ ca: intermediate.cert, ...more }),
    'intermediate and root as ca': (more) => on({ ca: [intermediate.cert, ca.cert], ...more }),
    // One at a time: of two with one name OpenSSL takes the first.
    'a self-signed server as ca': (more) => on({ ca: pinned('self-signed'), ...more }),
    'a self-signed authority as ca': (more) => on({ ca: pinned('self-signed authority'), ...more }),
    'a self-signed server of version 1 as ca': (more) =>
      on({ ca: pinned('self-signed of version 1'), ...more }),
    'a server that is not self-signed as ca': (more) => on({ ca: pinned('RSA'), ...more }),
    'trusted certificate as ca': (more) =>
      on({ ca: ca.cert.replaceAll(' CERTIFICATE', ' TRUSTED CERTIFICATE'), ...more }),
    'byte order mark before ca': (more) => on({ ca: `\ufeff${ca.cert}`, ...more }),
    'empty ca': (more) => on({ ca: '', ...more }),
    'empty list as ca': (more) => on({ ca: [], ...more }),
    'rubbish as ca': (more) => on({ ca: 'rubbish', ...more }),
    'a number as ca': (more) => on({ ca: 42, ...more }),
    'ca, unverified': (more) => on({ ca: ca.cert, rejectUnauthorized: false, ...more }),
    unverified: (more) => on({ rejectUnauthorized: false, ...more }),
    'rejectUnauthorized undefined': (more) => on({ ca: ca.cert, rejectUnauthorized: undefined, ...more }),
    checkServerIdentity: (more) => on({ ca: ca.cert, checkServerIdentity: () => undefined, ...more }),
    'TLS 1.3 at least': (more) => on({ ca: ca.cert, minVersion: 'TLSv1.3', ...more }),
    'TLS 1.2 at most': (more) => on({ ca: ca.cert, maxVersion: 'TLSv1.2', ...more }),
    'TLS 1.0 at least': (more) => on({ ca: ca.cert, minVersion: 'TLSv1', ...more }),
    'partial chain': (more) => on({ ca: intermediate.cert, allowPartialTrustChain: true, ...more }),
  };
}

const MODES = ['', 'disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];

/** name -> a function that gives parameters of a connection string; `files` of authorities. */
function makeModes(files) {
  const roots = { 'no root': undefined, root: files.ca, 'foreign root': files.foreign };
  const modes = {};
  for (const mode of MODES) {
    for (const compat of [false, true]) {
      for (const [name, root] of Object.entries(roots)) {
        const parameters = new URLSearchParams();
        if (mode) parameters.set('sslmode', mode);
        if (compat) parameters.set('uselibpqcompat', 'true');
        if (root) parameters.set('sslrootcert', root);
        modes[`sslmode=${mode}, ${name}${compat ? ', as libpq' : ''}`] = parameters;
      }
    }
  }
  return modes;
}

/** The whole matrix; files are written into `directory`. */
async function makeCases(directory) {
  const keys = await makeKeys();
  const authorities = makeAuthorities(keys);
  const servers = makeServers(keys, authorities);
  const files = {};
  for (const name of ['ca', 'foreign']) {
    files[name] = path.join(directory, `${name}.crt`);
    fs.writeFileSync(files[name], authorities[name].cert);
  }
  return {
    authorities,
    servers,
    clients: makeClients(keys, authorities),
    forms: makeForms(authorities, servers),
    modes: makeModes(files),
  };
}

module.exports = { makeCases };
