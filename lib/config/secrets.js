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

/** Private keys among TLS options become not enumerable, as pg's `key`. A frozen object stays as it is. */
function hideKeys(ssl) {
  if (!ssl || typeof ssl !== 'object') return;
  for (const name of SECRETS_OF_TLS) {
    if (ssl[name]) Reflect.defineProperty(ssl, name, { enumerable: false });
  }
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
