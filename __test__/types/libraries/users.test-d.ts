// Libraries and functions that ask for objects of pg, or for something like them, take ours without a cast.

import type { ClientBase, Pool as PgPool, PoolClient as PgPoolClient, QueryResult as PgResult } from 'pg';
import { run } from 'graphile-worker';
import { runner } from 'node-pg-migrate';
import PgBoss = require('pg-boss');
import QueryStream = require('pg-query-stream');
import { DataSource } from 'typeorm';
import ours = require('pgpool-rs');
import { Client, Connection, Pool, Query } from 'pgpool-rs';
import ConnectionParameters = require('pgpool-rs/lib/connection-parameters');
import TypeOverrides = require('pgpool-rs/lib/type-overrides');

const pool = new Pool({ max: 1, binary: true });

// What an application of pg has: functions over its types.
declare function store(options: { pool?: PgPool }): void;
declare function within(
  client: PgPoolClient,
  work: (client: ClientBase) => Promise<PgResult<{ id: number }>>,
): Promise<number>;

export async function functionsOverPgsTypes() {
  store({ pool });
  const client = await pool.connect();
  await within(client, () => client.query<{ id: number }>('SELECT 1 AS id'));
  await within(client, async (base) => await base.query('SELECT 1 AS id'));
  client.release();
}

export const boss = new PgBoss({ db: { executeSql: (text, values) => pool.query(text, values) } });
export const source = new DataSource({ type: 'postgres', driver: ours });
export const worker = run({ pgPool: pool, taskList: {} });
export const migrated = runner({
  dbClient: new Client(),
  dir: 'migrations',
  direction: 'up',
  migrationsTable: 'migrations',
});

export async function submittables() {
  const client = await pool.connect();
  for await (const row of client.query(new QueryStream('SELECT 1'))) console.log(row);
  const query = client.query(new Query({ text: 'SELECT 1', rows: 5 }));
  query.on('row', (row) => console.log(row));
  new Client().cancel(client, query);
}

export function ownConnection() {
  const connection = new Connection({ keepAlive: true });
  connection.connect(5432, 'localhost');
  connection.startup({ user: 'me', database: 'mine' });
  connection.parse({ name: '', text: 'SELECT 1', types: [] });
  connection.bind();
  connection.sync();
}

export const parameters: string | undefined = new ConnectionParameters('postgres://localhost/mine').database;
export const overrides = new TypeOverrides();
overrides.setTypeParser(20, (text: string) => BigInt(text));

export const prepared: string | Buffer | null = ours.utils.prepareValue(new Date());
