'use strict';

const { once } = require('node:events');
const { createServer } = require('node:http');
const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/postgres-adapter');

module.exports = async function scenario(config, pg) {
  const pool = new pg.Pool(config);
  await pool.query(
    'CREATE TABLE socket_io_attachments (id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)',
  );
  const servers = [1, 2].map(() => {
    const io = new Server(createServer());
    io.adapter(createAdapter(pool, { payloadThreshold: 200 }));
    return io;
  });
  const [first, second] = servers;
  const heard = [];
  for (const io of servers)
    io.on('news', (payload, acknowledge) => (heard.push(payload), acknowledge?.('heard')));
  // Both listen once each knows of the other.
  while ((await first.of('/').adapter.serverCount()) < 2)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const answers = await first.serverSideEmitWithAck('news', 'short');
  const large = once(first, 'news');
  second.serverSideEmit('news', 'long '.repeat(200));
  await large;
  const { rows } = await pool.query('SELECT count(*)::int > 0 AS attached FROM socket_io_attachments');
  for (const io of servers) await io.close();
  await pool.end();
  return { answers, heard, rows };
};
