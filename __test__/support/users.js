'use strict';

// The users of a test server: one for each way of authenticating, each with a password of this
// run. No password is written down anywhere in the repository.

const { randomBytes } = require('node:crypto');

// user -> how pg_hba.conf lets it in. `secure` users are let in through TLS only.
const METHODS = {
  postgres: { method: 'scram-sha-256' },
  scram_user: { method: 'scram-sha-256' },
  md5_user: { method: 'md5' },
  clear_user: { method: 'password' },
  trust_user: { method: 'trust' },
  cert_user: { method: 'cert', secure: true },
  tls_only: { method: 'scram-sha-256', secure: true },
};

function makeUsers() {
  const password = () => randomBytes(12).toString('hex');
  return Object.fromEntries(Object.keys(METHODS).map((user) => [user, { user, password: password() }]));
}

function hostBasedAuthentication({ tls }) {
  const lines = [];
  for (const [user, { method, secure }] of Object.entries(METHODS)) {
    if (!secure) lines.push(`local all ${user} ${method}`);
    for (const address of ['127.0.0.1/32', '::1/128']) {
      if (secure && !tls) continue;
      lines.push(`${secure ? 'hostssl' : 'host'} all ${user} ${address} ${method}`);
    }
    // Refused here, so that the general rule below does not let it in without TLS.
    if (secure) lines.push(`host all ${user} all reject`, `local all ${user} reject`);
  }
  lines.push('local all all scram-sha-256');
  for (const address of ['127.0.0.1/32', '::1/128']) {
    lines.push(`host all all ${address} scram-sha-256`, `host replication all ${address} scram-sha-256`);
  }
  return lines.join('\n') + '\n';
}

/** `run(sql, database)` executes statements as the superuser. */
async function createUsers(run, users, database) {
  const roles = Object.values(users).filter(({ user }) => user !== 'postgres');
  const create = ({ user, password }) => {
    const encryption = METHODS[user].method === 'md5' ? 'md5' : 'scram-sha-256';
    return `SET password_encryption = '${encryption}'; CREATE ROLE ${user} LOGIN PASSWORD '${password}';`;
  };
  // As in a database of an older cluster, every user may create tables in `public`.
  const open = 'GRANT ALL ON SCHEMA public TO PUBLIC;';
  await run(`${open} ${roles.map(create).join(' ')}`, 'template1');
  await run(`CREATE DATABASE ${database}`, 'postgres');
}

module.exports = { makeUsers, hostBasedAuthentication, createUsers };
