// Objects of this package go where the types of pg are expected, as in query builders that ask for a
// Pool of pg; and what they hand back is what those types say.

import type * as pg from 'pg';
import type * as ours from 'pgpool-rs';

declare const pool: ours.Pool;
declare const client: ours.Client;
declare const lent: ours.PoolClient;
declare const config: ours.PoolConfig;
declare const result: ours.QueryResult<{ id: number }>;
declare const error: ours.DatabaseError;

export const asPool: pg.Pool = pool;
export const asClient: pg.Client = client;
export const asPoolClient: pg.PoolClient = lent;
export const asBase: pg.ClientBase = client;
// A config of this package may say more: `port: '5432,5433'`, `ssl: 'no-verify'`.
export const asConfig: pg.PoolConfig = { max: 1, port: 5432, ssl: true } satisfies ours.PoolConfig;
export const asOptions: pg.PoolConfig = pool.options;
// @ts-expect-error its ports are more than pg's
export const asAnyConfig: pg.PoolConfig = config;
export const asResult: pg.QueryResult<{ id: number }> = result;
export const asError: pg.DatabaseError = error;

declare const theirConfig: pg.PoolConfig;
declare const theirClientConfig: pg.ClientConfig;
declare const theirQueryConfig: pg.QueryConfig;
declare const theirTypes: pg.CustomTypesConfig;

export const fromConfig: ours.PoolConfig = theirConfig;
export const fromClientConfig: ours.ClientConfig = theirClientConfig;
export const fromQueryConfig: ours.QueryConfig = theirQueryConfig;
export const fromTypes: ours.CustomTypesConfig = theirTypes;

// What kysely and drizzle-orm ask for.
interface KyselyPool {
  connect(): Promise<KyselyClient>;
  end(): Promise<void>;
}
interface KyselyClient {
  query<R>(sql: string, parameters: ReadonlyArray<unknown>): Promise<KyselyResult<R>>;
  query<R>(cursor: KyselyCursor<R>): KyselyCursor<R>;
  release(): void;
}
interface KyselyCursor<T> {
  read(rowsCount: number): Promise<T[]>;
  close(): Promise<void>;
}
interface KyselyResult<R> {
  command: 'UPDATE' | 'DELETE' | 'INSERT' | 'SELECT' | 'MERGE';
  rowCount: number;
  rows: R[];
}
type DrizzleClient = pg.Pool | pg.PoolClient | pg.Client;

declare const kysely: { pool: KyselyPool | (() => Promise<KyselyPool>) };
kysely.pool = pool;
export const forDrizzle: DrizzleClient[] = [pool, client, lent];

// Constructors too: a library may be given the class.
export const PoolClass: new (config?: pg.PoolConfig) => pg.Pool = null as unknown as typeof ours.Pool;
export const ClientClass: new (config?: string | pg.ClientConfig) => pg.Client =
  null as unknown as typeof ours.Client;
