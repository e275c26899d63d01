'use strict';

const { once } = require('node:events');
const PGPubsub = require('pg-pubsub');

module.exports = async function scenario(config, pg) {
  const pubsub = new (PGPubsub.default ?? PGPubsub)(config, { log: () => {} });
  const heard = [];
  await pubsub.addChannel('news', (payload) => heard.push(payload));
  const first = once(pubsub, 'news');
  await pubsub.publish('news', { title: 'ü"\'', n: 1 });
  await first;
  const other = new pg.Client(config);
  await other.connect();
  await other.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  );
  // It listens again by itself.
  const second = once(pubsub, 'news');
  while (heard.length < 2) {
    await other.query('NOTIFY news, \'{"n":2}\'');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await second;
  const sessions = await other.query(
    "SELECT count(*)::int AS listening FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
  );
  await pubsub.close();
  await other.end();
  return { first: heard[0], second: heard[1], sessions: sessions.rows };
};
