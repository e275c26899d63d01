'use strict';

// What this process asks of Node's TLS as a whole: flags, environment variables, defaults of node:tls. Additional
// authorities the core adds to its own; everything else makes Node do TLS.

const { constants } = require('node:crypto');
const tls = require('node:tls');

// The oldest version that the core speaks; a bound below it makes no difference.
const OLDEST = ['TLSv1', 'TLSv1.1', 'TLSv1.2'];
const NEWEST = 'TLSv1.3';

/** Whether Node's defaults, or the options in their place, are those of the core. */
function isServedByCore(options) {
  return (
    OLDEST.includes(options.minVersion ?? tls.DEFAULT_MIN_VERSION) &&
    (options.maxVersion ?? tls.DEFAULT_MAX_VERSION) === NEWEST &&
    hasUsualDefaults() &&
    // An option of its own goes before the variable, also one that is undefined.
    ('rejectUnauthorized' in options || process.env.NODE_TLS_REJECT_UNAUTHORIZED !== '0')
  );
}

// Bun and Deno have defaults of their own, which say nothing.
function hasUsualDefaults() {
  if (process.versions.bun || process.versions.deno) return true;
  return tls.DEFAULT_CIPHERS === constants.defaultCoreCipherList && tls.DEFAULT_ECDH_CURVE === 'auto';
}

/**
 * The authorities that Node trusts by default beside its own list, as PEM texts. Undefined: they cannot be told, or
 * the list itself is another.
 * @returns {string[]|undefined}
 */
function extraAuthorities() {
  if (usesOpenSslStore()) return undefined;
  /** @type {{ getCACertificates?: (type: string) => string[] }} */
  const { getCACertificates } = /** @type {any} */ (tls);
  // Older versions of Node do not tell.
  if (getCACertificates === undefined) return process.env.NODE_EXTRA_CA_CERTS ? undefined : [];
  const usual = new Set(tls.rootCertificates);
  const all = new Set(getCACertificates('default'));
  for (const authority of usual) if (!all.has(authority)) return undefined;
  return [...all].filter((authority) => !usual.has(authority));
}

/** Whether Node trusts what OpenSSL's own files say (SSL_CERT_FILE, SSL_CERT_DIR): by a flag, or as it was built. */
function usesOpenSslStore() {
  const flags = [...process.execArgv, ...(process.env.NODE_OPTIONS || '').split(/[\s"]+/)];
  if (flags.includes('--use-openssl-ca')) return true;
  const defines = process.config.target_defaults?.defines ?? [];
  return defines.includes('NODE_OPENSSL_CERT_STORE') && !flags.includes('--use-bundled-ca');
}

module.exports = { extraAuthorities, isServedByCore };
