// The same names for `import` in ES modules, and the default export, which is the CommonJS object.

import pg, { Client, Pool, getPool, pools } from 'pgpool-rs';

export const pool: Pool = new pg.Pool({ max: 1 });
export const client: Client = new pg.Client();
export const tier: pg.Pool = getPool('admin');
export const low: Pool = pools.lowPriority;

// @ts-expect-error there is no such export
export const wrong = pg.Pools;
