'use strict';

// Reads DATABASE_URL or the PG* variables into the same plain description that an embedded server
// gives of itself. Such a server has no users but the given one, and its process is not ours:
// `embedded` is false, and tests that need more start a server of their own.

const { parse } = require('pg-connection-string');

function givenServer(env) {
  if (!env.DATABASE_URL && !env.PGHOST && !env.PGPORT) return null;
  const named = env.DATABASE_URL ? parse(env.DATABASE_URL) : {};
  const user = named.user || env.PGUSER || env.USER || 'postgres';
  const description = {
    embedded: false,
    host: named.host || env.PGHOST || 'localhost',
    port: Number(named.port || env.PGPORT || 5432),
    user,
    password: named.password || env.PGPASSWORD || '',
    database: named.database || env.PGDATABASE || user,
    ssl: named.ssl,
    users: {},
  };
  const part = encodeURIComponent;
  const login = `${part(description.user)}${description.password ? `:${part(description.password)}` : ''}`;
  const { host, port, database } = description;
  description.url = env.DATABASE_URL || `postgres://${login}@${part(host)}:${port}/${part(database)}`;
  return description;
}

module.exports = { givenServer };
