'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const FIRST = `exports.up = (pgm) => {
  pgm.createTable('note', { id: 'id', text: { type: 'text', notNull: true } });
  pgm.createIndex('note', 'text');
};
exports.down = (pgm) => pgm.dropTable('note');
`;

module.exports = async function scenario(config, { Client }) {
  const { runner } = await import('node-pg-migrate');
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'migrations-'));
  const client = new Client(config);
  await client.connect();
  try {
    fs.writeFileSync(path.join(dir, '1700000000000_first.cjs'), FIRST);
    const quiet = { debug() {}, info() {}, warn() {}, error() {} };
    const options = { dbClient: client, dir, migrationsTable: 'migrations', count: Infinity, logger: quiet };
    const up = await runner({ ...options, direction: 'up' });
    await client.query('INSERT INTO note (text) VALUES ($1)', ['hello']);
    const { rows } = await client.query('SELECT * FROM note');
    const down = await runner({ ...options, direction: 'down' });
    const tables = await client.query("SELECT to_regclass('note') AS note");
    return { up: up.map(({ name }) => name), rows, down: down.map(({ name }) => name), tables: tables.rows };
  } finally {
    await client.end();
    fs.rmSync(dir, { recursive: true });
  }
};
