'use strict';

const { once } = require('node:events');
const ipcOf = require('pg-ipc');

module.exports = async function scenario(config, pg) {
  const client = new pg.Client(config);
  await client.connect();
  const ipc = ipcOf(client);
  const heard = [];
  const listening = once(ipc, 'listen');
  ipc.on('news', ({ channel, payload }) => heard.push([channel, payload]));
  await listening;
  const third = new Promise((resolve) => ipc.on('news', () => heard.length === 3 && resolve()));
  ipc.notify('news', { title: 'ü', n: 1 });
  ipc.notify('news', 'a text');
  ipc.notify('news');
  await third;
  // It stops listening twice: for all channels, and then for each listener it removes.
  const over = once(client, 'drain');
  ipc.end();
  await over;
  await client.end();
  return { heard };
};
