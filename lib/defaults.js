'use strict';

// The defaults of every client, pg's names and values: a plain object that may be changed at any time
// and is read when a client is built.

const types = require('pg-types');

const INT4 = 23;
const INT8 = 20;
/** @type {number} */
const INT4_ARRAY = 1007;
/** @type {number} */
const INT8_ARRAY = 1016;

const defaults = {
  host: 'localhost',
  user: process.platform === 'win32' ? process.env.USERNAME : process.env.USER,
  database: undefined,
  password: null,
  connectionString: undefined,
  port: 5432,
  rows: 0,
  binary: false,
  max: 10,
  idleTimeoutMillis: 30000,
  client_encoding: '',
  ssl: false,
  sslnegotiation: undefined,
  application_name: undefined,
  fallback_application_name: undefined,
  options: undefined,
  parseInputDatesAsUTC: false,
  statement_timeout: false,
  lock_timeout: false,
  idle_in_transaction_session_timeout: false,
  query_timeout: false,
  connect_timeout: 0,
  keepalives: 1,
  keepalives_idle: 0,
};

const parseBigInteger = types.getTypeParser(INT8, 'text');
const parseBigIntegerArray = types.getTypeParser(INT8_ARRAY, 'text');

// Write-only, as in pg: `true` makes int8 and its arrays numbers for the whole process, at once.
Object.defineProperty(defaults, 'parseInt8', {
  configurable: true,
  enumerable: true,
  set(wanted) {
    types.setTypeParser(INT8, 'text', wanted ? types.getTypeParser(INT4, 'text') : parseBigInteger);
    types.setTypeParser(
      INT8_ARRAY,
      'text',
      wanted ? types.getTypeParser(INT4_ARRAY, 'text') : parseBigIntegerArray,
    );
  },
});

// Of ours: prepared statements kept per connection. Not enumerable, so that the members that show are pg's.
Object.defineProperty(defaults, 'statementCacheSize', {
  configurable: true,
  writable: true,
  value: 256,
});

module.exports = defaults;
