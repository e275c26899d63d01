'use strict';

const { once } = require('node:events');
const createSubscriber = require('pg-listen').default;

module.exports = async function scenario(config, pg) {
  const subscriber = createSubscriber(config, { retryInterval: () => 20, paranoidChecking: 50 });
  const heard = [];
  const events = [];
  for (const name of ['connected', 'reconnect', 'error']) subscriber.events.on(name, () => events.push(name));
  subscriber.notifications.on('news', (payload) => heard.push(payload));
  await subscriber.connect();
  await subscriber.listenTo('news');
  const first = once(subscriber.notifications, 'news');
  await subscriber.notify('news', { title: 'ü"\'', n: 1 });
  await first;
  const other = new pg.Client(config);
  await other.connect();
  const reconnected = once(subscriber.events, 'connected');
  await other.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  );
  await reconnected;
  const second = once(subscriber.notifications, 'news');
  await other.query('NOTIFY news, \'{"n":2}\'');
  await second;
  const channels = subscriber.getSubscribedChannels();
  await subscriber.unlistenAll();
  await subscriber.close();
  await other.end();
  return { heard, events, channels };
};
