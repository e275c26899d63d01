'use strict';

// Secrets among options: passwords, private keys, connection strings. They stay readable by name, as under
// pg, and appear in no enumeration, JSON or printed object.

const { inspect } = require('node:util');

/** Sets a property that is writable but not enumerable, so that logs do not show it. */
function hide(object, name, secret) {
  Object.defineProperty(object, name, {
    configurable: true,
    enumerable: false,
    writable: true,
    value: secret,
  });
}

const SECRETS_OF_TLS = ['key', 'passphrase', 'pfx'];

/**
 * TLS options whose private keys are not enumerable: the given object itself, as under pg, or a copy where it cannot be
 * changed.
 */
function hideKeys(ssl) {
  if (!ssl || typeof ssl !== 'object') return ssl;
  const secrets = SECRETS_OF_TLS.filter((name) => ssl[name]);
  const isHidden = (name) => Reflect.defineProperty(ssl, name, { enumerable: false });
  return secrets.every(isHidden) ? ssl : hiddenCopy(ssl, secrets);
}

function hiddenCopy(ssl, secrets) {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(ssl)), ssl);
  for (const name of secrets) hide(copy, name, ssl[name]);
  return copy;
}

/** The connection string of options can be read and copied as under pg; printed or as JSON it shows no password. */
function hideConnectionString(own) {
  const shown = () => ({ ...own, connectionString: withoutPassword(own.connectionString) });
  hide(own, 'toJSON', shown);
  hide(own, inspect.custom, shown);
}

// Up to the last @: a password may hold one that is not escaped. Passwords among the parameters, too.
function withoutPassword(text) {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/?#]*):.*@/is, '$1:***@')
    .replace(/([?&](?:password|passphrase|sslpassword)=)[^&#]*/gi, '$1***');
}

module.exports = { SECRETS_OF_TLS, hide, hideConnectionString, hideKeys };
