// What users write, and what must not compile. A line under @ts-expect-error that does compile is an
// error of its own, so every refusal here is a test.

import {
  AcquireTimeoutError,
  CircuitOpenError,
  Client,
  CommitOutcomeUnknownError,
  ConfigurationError,
  DatabaseError,
  Events,
  Pool,
  PoolClient,
  PoolConfig,
  Query,
  QueryArrayResult,
  QueryResult,
  Tier,
  configure,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  executeQueryWithRetry,
  executeTransactionWithRetry,
  endPools,
  createTiers,
  getPool,
  native,
  pools,
  types,
} from 'pgpool-rs';

interface Article {
  id: number;
  title: string;
}

export async function queries(pool: Pool): Promise<void> {
  const rows: Article[] = (await pool.query<Article>('select id, title from article where id = $1', [1]))
    .rows;
  const loose: QueryResult = await pool.query({ name: 'one', text: 'select 1', query_timeout: 100 });
  const arrays: QueryArrayResult<[number, string]> = await pool.query<[number, string]>({
    text: 'select 1, 2',
    rowMode: 'array',
  });
  const first: number = arrays.rows[0][0];
  const count: number | null = loose.rowCount;
  pool.query('select 1', (error: Error, result: QueryResult<Article>) => [
    error,
    result.rows,
    rows,
    first,
    count,
  ]);
  pool.query('select $1', [1], (error, result) => [error, result.rows]);

  // @ts-expect-error a text is needed
  await pool.query();
  // @ts-expect-error values are an array
  await pool.query('select $1', 1);
  // @ts-expect-error the title is a string
  const wrong: number = (await pool.query<Article>('select 1')).rows[0].title;
  // @ts-expect-error without rowMode rows are objects
  const noArray: [number][] = (await pool.query<{ id: number }>({ text: 'select 1' })).rows;
  void [wrong, noArray];
}

export async function checkouts(pool: Pool): Promise<void> {
  const client: PoolClient = await pool.connect();
  const status: 'I' | 'T' | 'E' | null = client.getTransactionStatus();
  client.release();
  client.release(true);
  client.release(new Error(String(status)));
  pool.connect((error, lent, release) => {
    if (error || !lent) return release(error);
    lent.release();
  });
  // @ts-expect-error a reason is an error or a boolean
  client.release('broken');
  // @ts-expect-error a client that stands alone has no pool to go back to
  new Client().release();
}

export function events(pool: Pool, client: Client): void {
  pool.on('connect', (lent) => lent.query('set search_path to news'));
  pool.on('error', (error, lent) => [error.message, lent.processID]);
  pool.on('release', (error, lent) => [error, lent]);
  client.on('notification', (message) => message.channel.length + message.processId);
  client.on('notice', (notice) => notice.severity);
  client.on('end', () => {});
  const emitter = new Events();
  emitter.on('error', (error, of) => [error.message, of.processID]);
  // @ts-expect-error pools have no such event
  pool.on('drained', () => {});
  // @ts-expect-error a channel is a string
  client.on('notification', (message) => message.channel.toFixed());
}

export function construction(): void {
  const config: PoolConfig = {
    max: 5,
    idleTimeoutMillis: null,
    maxWaiting: 100,
    slowQueryMillis: 500,
    replica: { host: 'r1,r2', maxLagMillis: 1000 },
    ssl: { ca: 'pem' },
    password: async () => 'x',
  };
  new Pool(config);
  new Pool();
  new Client('postgres://localhost/news');
  new Client({ sslnegotiation: 'direct', ssl: true, scramMaxIterations: 0 });
  new Pool({ host: 'a,b', port: '5432,5433', ssl: 'no-verify' });
  new Pool({ target_session_attrs: 'read-write', load_balance_hosts: 'random' });
  // @ts-expect-error there is no such mode
  new Pool({ ssl: 'verify-not' });
  // @ts-expect-error there is no such server
  new Pool({ target_session_attrs: 'writable' });
  // @ts-expect-error the maximum is a number
  new Pool({ max: '5' });
  // @ts-expect-error there are two ways
  new Client({ sslnegotiation: 'maybe' });
}

export function objects(client: Client): void {
  const query: Query = client.query(new Query('select 1', (error, result) => [error, result.rows]));
  query.on('row', (row, result) => [row.id, result?.rows]);
  const text: string = escapeIdentifier('a') + escapeLiteral('b') + client.escapeLiteral('c');
  types.setTypeParser(types.builtins.INT8, Number);
  client.setTypeParser(20, 'text', BigInt);
  defaults.parseInt8 = true;
  const Either = native?.Pool ?? Pool;
  const bound: typeof Pool = (native ?? { Pool }).Pool;
  void [text, new Either({ max: 1 }), bound];
}

export function additions(): void {
  const tier: Tier = 'lowPriority';
  const ended: Promise<void> = endPools();
  const byName: Pool = getPool(tier);
  const unknown: Pool = getPool('whatever');
  const all: Pool[] = [pools.highPriority, pools.lowPriority, pools.admin, byName, unknown];
  void all;
  // @ts-expect-error there is no such tier
  void pools.middlePriority;
  // @ts-expect-error a tier is a name
  getPool(1);
}

export async function tiersInCode(): Promise<void> {
  const set = createTiers({
    tiers: { web: { max: 20, alerts: { waiting: { above: 5 } } }, jobs: { password: async () => 'token' } },
    shared: { connectionString: 'postgres://db/news', breaker: { failureRate: 0.4 }, retryAttempts: 2 },
    default: 'jobs',
    totalMax: 30,
  });
  const web: Pool = set.getPool('web');
  const jobs: Pool = set.pools.jobs;
  set.monitors.jobs.startMonitoring(1000);
  set.monitors.on('alert', (alert, monitor) => void [alert.rule, monitor.name]);
  set.configure({ retry: 'off', sizes: { jobs: { max: 3 } } });
  const { rows } = await set.executeQueryWithRetry<{ one: number }>('SELECT 1 AS one', [], { pool: web });
  const one: number = rows[0].one;
  await set.end();
  void [jobs, one];
  // @ts-expect-error there is no such tier
  set.getPool('reports');
  // @ts-expect-error nor here
  set.configure({ sizes: { reports: { max: 1 } } });
  // @ts-expect-error the default is one of the tiers
  createTiers({ tiers: { web: {} }, default: 'reports' });
}

export async function failsafe(pool: Pool): Promise<number> {
  const config: PoolConfig = {
    retryAttempts: 3,
    retryDelay: 50,
    deadline: 1000,
    retry: 'on',
    breaker: { mode: 'metrics', failingMillis: 10 },
  };
  pool.on('retry', ({ attempt, of, phase }) => [attempt, of, phase === 'sent']);
  pool.on('breaker', ({ state, nextProbe }) => [state, nextProbe?.getTime()]);
  configure({ tiers: 'on', retry: 'off', breaker: 'forced-open' });
  pool.configure({ breaker: false });
  await pool.query({ text: 'select 1', idempotent: true, deadline: 100, retryOn: ['23505'] });
  await executeQueryWithRetry('select $1', [1], 3, 1000, { pool, readOnly: true });
  await executeQueryWithRetry('select $1', [1], { maxRetries: 3, baseDelay: 1000, pool, readOnly: true });
  await executeTransactionWithRetry([{ query: 'select 1' }, 'select 2'], { maxRetries: 1 });
  await pool.ready();
  pool.configure({ max: 5, min: 1, failFast: true });
  configure({ sizes: { lowPriority: { max: 4 } } });
  await executeTransactionWithRetry([{ query: 'select $1', values: [1] }], 3, 10);
  // @ts-expect-error there is no such mode
  pool.configure({ breaker: 'sometimes' });
  void config;
  const subscription = await pool.listen('news', ({ payload }) => void payload?.length, {
    onGap: ({ since, until, cause }) => [since.getTime(), until.getTime(), cause?.message],
    heartbeatMillis: 5000,
  });
  await subscription.close();
  // @ts-expect-error a handler is missing
  await pool.listen('news');
  // @ts-expect-error a tenant is missing
  await pool.transaction(async () => {}, { set: { 'app.tenant': undefined } });
  const nested: string = await pool.transaction((client) =>
    client.transaction((inner) => inner.transaction(() => 'x')),
  );
  void nested;
  // @ts-expect-error only the client of a transaction
  await (await pool.connect()).transaction(async () => {});
  return pool.transaction(async (client) => (await client.query('select 1')).rowCount ?? 0, {
    isolationLevel: 'serializable',
    retries: 5,
    set: { role: 'app', 'app.tenant': 42 },
  });
}

export function failures(error: unknown): string | number | undefined {
  if (error instanceof DatabaseError) return error.code ?? error.detail;
  if (error instanceof AcquireTimeoutError) return error.waiting;
  if (error instanceof CircuitOpenError) return error.nextProbe?.getTime();
  if (error instanceof CommitOutcomeUnknownError) return error.transactionId;
  if (error instanceof ConfigurationError) return error.problems.join();
  // @ts-expect-error nothing is known about it
  return error.code;
}
