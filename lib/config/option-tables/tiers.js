'use strict';

// Variables of the tiers that are no option of a pool.

const PLACE = 'Where to connect';
const SIZES = 'Sizes';
const SWITCHES = 'Switches';

const pem = { kind: 'pem', section: PLACE };

module.exports = [
  {
    variable: 'DATABASE_URL',
    kind: 'url',
    otherwise: 'none',
    section: PLACE,
    doc: 'where `DB_HOST` is not set: a connection string; the other variables go before its parts',
  },
  {
    variable: 'DB_PASSWORD_FILE',
    kind: 'secretFile',
    otherwise: 'none',
    section: PLACE,
    doc: 'in place of `DB_PASSWORD`: the path of a file with the password, read at each login, so that a new one is in force at once',
  },
  {
    variable: 'DB_ADMIN_PASSWORD_FILE',
    kind: 'secretFile',
    otherwise: 'as `DB_PASSWORD_FILE`',
    section: PLACE,
    doc: 'in place of `DB_ADMIN_PASSWORD`',
  },
  {
    variable: 'DB_REPLICA_HOST',
    kind: 'hosts',
    otherwise: 'none',
    section: PLACE,
    doc: 'standbys that take the queries with `readOnly` of all tiers but admin, see [replicas](tiers.md#replicas)',
  },
  {
    variable: 'DB_REPLICA_PORT',
    kind: 'ports',
    from: 1,
    to: 65535,
    otherwise: 'as `DB_PORT`',
    section: PLACE,
    doc: 'one for all, or as many as hosts',
  },
  {
    variable: 'DB_REPLICA_MAX',
    kind: 'count',
    from: 1,
    tiers: 5,
    section: SIZES,
    doc: 'connections of a tier to each replica at most',
  },
  {
    variable: 'DB_REPLICA_MAX_LAG',
    kind: 'millis',
    from: 1,
    tiers: 5000,
    section: PLACE,
    doc: 'a replica that is further behind gets no queries',
  },
  {
    ...pem,
    variable: 'DB_SSL_CA',
    otherwise: 'the usual authorities',
    doc: 'PEM text, or the path of a file with it',
  },
  {
    ...pem,
    variable: 'DB_SSL_CERT',
    otherwise: 'none',
    doc: "the client's certificate, as PEM text or path; only together with `DB_SSL_KEY`",
  },
  {
    ...pem,
    variable: 'DB_SSL_KEY',
    otherwise: 'none',
    doc: "the certificate's key, as PEM text or path",
  },
  {
    variable: 'DB_TOTAL_MAX',
    kind: 'count',
    from: 1,
    otherwise: 'none',
    section: SIZES,
    doc: 'the [budget](tiers.md#one-budget-for-all) of the tiers together, per process; not below their minimums together',
  },
  {
    variable: 'DB_TIERS',
    kind: 'switch',
    choices: ['on', 'off'],
    tiers: 'on',
    section: SWITCHES,
    doc: '`off`: all names lead to one pool of `DB_MAX_CONNECTIONS`',
  },
  {
    variable: 'DB_MONITOR',
    kind: 'switch',
    choices: ['on', 'off'],
    tiers: 'on',
    section: SWITCHES,
    doc: '`off`: nothing is measured beyond the counts that pg has',
  },
].map((option) => ({ owner: 'tiers', ...option }));
