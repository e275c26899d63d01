'use strict';

const session = require('express-session');
const Store = require('connect-pg-simple')(session);

module.exports = async function scenario(config, { Pool }) {
  const pool = new Pool(config);
  const store = new Store({ pool, createTableIfMissing: true, pruneSessionInterval: false });
  const call = (method, ...args) =>
    new Promise((resolve, reject) => {
      store[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
    });
  const cookie = { maxAge: 60_000, expires: new Date(Date.now() + 60_000) };
  await call('set', 'first', { cookie, user: { name: 'Ada', rights: ['read'] } });
  await call('set', 'second', { cookie, user: null });
  const first = await call('get', 'first');
  await call('touch', 'first', { ...first, cookie });
  await call('destroy', 'second');
  const second = await call('get', 'second');
  await call('set', 'old', { cookie: { expires: new Date(0) } });
  await call('pruneSessions');
  const { rows } = await pool.query('SELECT sid FROM session ORDER BY sid');
  await store.close();
  await pool.end();
  return { user: first.user, second: second || 'gone', rows };
};
