// Query builders whose typings ask for objects of pg take ours, without a cast.

import { drizzle } from 'drizzle-orm/node-postgres';
import { Kysely, PostgresDialect } from 'kysely';
import { Client, Pool, getPool } from 'pgpool-rs';

interface Database {
  article: { id: number; title: string };
}

const pool = new Pool({ max: 1 });

export const kysely = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
export const lazily = new PostgresDialect({ pool: async () => getPool('lowPriority') });

export const overPool = drizzle(pool);
export const overClient = drizzle(new Client());
export const overOption = drizzle({ client: pool });
export async function overCheckout() {
  const client = await pool.connect();
  return drizzle(client);
}

// @ts-expect-error a number is no pool
export const wrong = new PostgresDialect({ pool: 1 });
