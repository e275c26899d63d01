'use strict';

// Where a connection leads and how it introduces itself: config, then environment, then defaults, with
// a connection string above them all. Precedence, names and messages are pg's.

const dns = require('node:dns');
const defaults = require('./defaults');
const { parseConnectionString: parse } = require('./config/hosts');
const { hide, hideKeys } = require('./config/secrets');

/**
 * The first truthy of the option, the environment variable (`PG` and the name, unless told) and the default.
 * @param {string|false} [variable]
 */
function value(name, config, variable = 'PG' + name.toUpperCase()) {
  if (config[name]) return config[name];
  return (variable && process.env[variable]) || defaults[name];
}

/** An option in libpq's spelling or in ours, else the environment's. */
function either(config, theirs, ours, variable) {
  return config[theirs] || config[ours] || process.env[variable] || undefined;
}

function sslOfEnvironment() {
  switch (process.env.PGSSLMODE) {
    case 'disable':
      return false;
    case 'prefer':
    case 'require':
    case 'verify-ca':
    case 'verify-full':
      return true;
    case 'no-verify':
      return { rejectUnauthorized: false };
    default:
      return defaults.ssl;
  }
}

function quote(text) {
  return "'" + String(text).replace(/\\/g, '\\\\').replace(/'/g, "\\'") + "'";
}

class ConnectionParameters {
  /**
   * @param config a connection string, or an object of client options
   * @throws Error for an invalid `sslnegotiation` and for a malformed connection string (its text redacted)
   */
  constructor(config) {
    config = typeof config === 'string' ? parse(config) : config || {};
    if (config.connectionString) config = Object.assign({}, config, parse(config.connectionString));

    this.user = value('user', config);
    this.database = value('database', config);
    if (this.database === undefined) this.database = this.user;
    const port = value('port', config);
    this.port = parseInt(port, 10);
    this.host = value('host', config);
    // Of several hosts, as they were written.
    hide(this, 'ports', port);
    hide(
      this,
      'targetSessionAttrs',
      either(config, 'target_session_attrs', 'targetSessionAttrs', 'PGTARGETSESSIONATTRS'),
    );
    hide(
      this,
      'loadBalanceHosts',
      either(config, 'load_balance_hosts', 'loadBalanceHosts', 'PGLOADBALANCEHOSTS'),
    );
    hide(this, 'requireAuth', either(config, 'require_auth', 'requireAuth', 'PGREQUIREAUTH'));
    hide(this, 'password', value('password', config));

    // 0 is a size, and a connection string has it as text. `?pgbouncer=true`, which other libraries know, says that
    // statements may not stay prepared.
    const ownSize = String(config.pgbouncer) === 'true' ? 0 : defaults.statementCacheSize;
    hide(this, 'statementCacheSize', config.statementCacheSize ?? ownSize);
    this.binary = value('binary', config);
    this.options = value('options', config);
    this.ssl = sslOption(config);
    this.sslnegotiation = value('sslnegotiation', config);
    checkNegotiation(this.sslnegotiation, this.ssl);

    this.client_encoding = value('client_encoding', config);
    this.replication = value('replication', config);
    this.isDomainSocket = !(this.host || '').indexOf('/');

    this.application_name = value('application_name', config, 'PGAPPNAME');
    this.fallback_application_name = value('fallback_application_name', config, false);
    this.statement_timeout = value('statement_timeout', config, false);
    this.lock_timeout = value('lock_timeout', config, false);
    this.idle_in_transaction_session_timeout = value('idle_in_transaction_session_timeout', config, false);
    this.query_timeout = value('query_timeout', config, false);

    if (config.connectionTimeoutMillis === undefined) {
      this.connect_timeout = process.env.PGCONNECT_TIMEOUT || 0;
    } else {
      this.connect_timeout = Math.floor(config.connectionTimeoutMillis / 1000);
    }
    if (config.keepAlive === false) this.keepalives = 0;
    else if (config.keepAlive === true) this.keepalives = 1;
    if (typeof config.keepAliveInitialDelayMillis === 'number') {
      this.keepalives_idle = Math.floor(config.keepAliveInitialDelayMillis / 1000);
    }
  }

  /** The same in libpq's `name='value'` form, by callback; the host is resolved first. */
  getLibpqConnectionString(callback) {
    const words = [];
    const add = (object, name) => {
      if (object[name] !== undefined && object[name] !== null) words.push(`${name}=${quote(object[name])}`);
    };
    for (const name of ['user', 'password', 'port', 'application_name', 'fallback_application_name'])
      add(this, name);
    for (const name of ['connect_timeout', 'options']) add(this, name);
    const ssl = typeof this.ssl === 'object' ? this.ssl : this.ssl ? { sslmode: this.ssl } : {};
    for (const name of ['sslmode', 'sslca', 'sslkey', 'sslcert', 'sslrootcert']) add(ssl, name);
    add(this, 'sslnegotiation');
    if (this.database) words.push('dbname=' + quote(this.database));
    if (this.replication) words.push('replication=' + quote(this.replication));
    if (this.host) words.push('host=' + quote(this.host));
    if (this.isDomainSocket) return callback(null, words.join(' '));
    if (this.client_encoding) words.push('client_encoding=' + quote(this.client_encoding));
    dns.lookup(this.host, (error, address) => {
      if (error) return callback(error, null);
      words.push('hostaddr=' + quote(address));
      return callback(null, words.join(' '));
    });
  }
}

function sslOption(config) {
  let ssl = typeof config.ssl === 'undefined' ? sslOfEnvironment() : config.ssl;
  if (ssl === 'true') ssl = true;
  if (ssl === 'no-verify') ssl = { rejectUnauthorized: false };
  return hideKeys(ssl);
}

function checkNegotiation(negotiation, ssl) {
  if (negotiation !== undefined && negotiation !== 'postgres' && negotiation !== 'direct') {
    throw new Error(
      `Invalid sslnegotiation value: "${negotiation}". Valid values are "postgres" and "direct".`,
    );
  }
  if (negotiation === 'direct' && !ssl) throw new Error('sslnegotiation=direct requires SSL to be enabled');
}

module.exports = ConnectionParameters;
