// The types of pgpool-rs: those of node-postgres, so that a Pool or Client of this package goes wherever
// one of pg is expected, and what this package adds. Only what exists is declared, but for `Events`.

/// <reference types="node" />

import events = require('events');
import stream = require('stream');
import pgTypes = require('pg-types');
import { ConnectionOptions } from 'tls';

export type QueryConfigValues<T> = T extends Array<infer U> ? T : never;

export type TargetSessionAttrs = 'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby';

/** What it takes to connect, and how queries of the connection behave. */
export interface ClientConfig {
  /** The user. Default: PGUSER, else the user of the operating system. */
  user?: string | undefined;
  /** The database. Default: PGDATABASE, else the user's name. */
  database?: string | undefined;
  /**
   * A function is called each time a server asks for a password; what it throws is what the connect fails with.
   * Default: PGPASSWORD, else the password file of libpq.
   */
  password?: string | (() => string | Promise<string>) | undefined;
  /** Of several hosts `'5432,5433'`. Default: PGPORT, else 5432. */
  port?: number | string | undefined;
  /**
   * Name, address, or directory of a socket (begins with `/`). Several, separated by commas, are tried in
   * order. Default: PGHOST, else localhost.
   */
  host?: string | undefined;
  /**
   * Which kind of server is wanted, as in libpq; of several hosts the first that is of it is used. Default:
   * PGTARGETSESSIONATTRS, else any.
   */
  targetSessionAttrs?: TargetSessionAttrs | undefined;
  /** The same as `targetSessionAttrs`. */
  target_session_attrs?: TargetSessionAttrs | undefined;
  /** `random`: hosts are tried in random order for each connection. Default: PGLOADBALANCEHOSTS, else disable. */
  loadBalanceHosts?: 'random' | 'disable' | boolean | undefined;
  /** The same as `loadBalanceHosts`. */
  load_balance_hosts?: 'random' | 'disable' | boolean | undefined;
  /**
   * With `keepAlive`: milliseconds that sent bytes and probes may stay unanswered before the connection is
   * given up (Linux only). Default: the system's, many minutes.
   */
  tcpUserTimeoutMillis?: number | undefined;
  /** `postgres://user:password@host:port/database?option=value`; goes before the options above. Default: none. */
  connectionString?: string | undefined;
  /** Whether the operating system probes idle connections. Default: false. */
  keepAlive?: boolean | undefined;
  /** Milliseconds of silence before the first probe. Default: 0, the system's. */
  keepAliveInitialDelayMillis?: number | undefined;
  /** Makes the socket of each connection; Node carries its bytes. Default: none. */
  stream?: (() => stream.Duplex | undefined) | undefined;
  /** Milliseconds after which the server stops a statement. Default: the server's. */
  statement_timeout?: false | number | undefined;
  /** Milliseconds that the server waits for a lock. Default: the server's. */
  lock_timeout?: number | undefined;
  /** Milliseconds after which the server ends a session that idles in a transaction. Default: the server's. */
  idle_in_transaction_session_timeout?: number | undefined;
  /**
   * Milliseconds after which a query rejects with "Query read timeout". It is then cancelled on the server, and
   * its connection is not leased before that is settled. Default: none.
   */
  query_timeout?: number | undefined;
  /**
   * `true`, `'no-verify'` or options of `tls.connect`; the certificate is verified unless `rejectUnauthorized` is false, or
   * it is `'no-verify'`. The core serves `ca`, `cert`, `key`, `rejectUnauthorized` and `servername`; with any other option, and where its
   * TLS does not know enough, the connection is encrypted by Node. Default: PGSSLMODE, else false.
   */
  ssl?: boolean | 'no-verify' | ConnectionOptions | undefined;
  /** `direct` begins with TLS at once (PostgreSQL 17 and later). Default: postgres. */
  sslnegotiation?: 'postgres' | 'direct' | undefined;
  /** SCRAM-SHA-256-PLUS when the server offers it. Default: false. */
  enableChannelBinding?: boolean | undefined;
  /** The largest number of SCRAM iterations a server may ask for; 0: any. Default: 100000. */
  scramMaxIterations?: number | undefined;
  /**
   * The ways to authenticate that are accepted, as libpq's `require_auth`: `scram-sha-256`, `md5`, `password`, `none`
   * and others, separated by commas; those that are refused, with a `!` before each. A server that asks for another
   * gets no password. Default: PGREQUIREAUTH, else any.
   */
  requireAuth?: string | undefined;
  /** The same as `requireAuth`. */
  require_auth?: string | undefined;
  /** Shown in `pg_stat_activity`. Default: PGAPPNAME. */
  application_name?: string | undefined;
  /** Used when `application_name` is not set. Default: none. */
  fallback_application_name?: string | undefined;
  /**
   * Milliseconds for the whole start-up; in a pool also for the wait for a free client.
   * Default: 0, none.
   */
  connectionTimeoutMillis?: number | undefined;
  /** Results of queries with values in binary. Default: false. */
  binary?: boolean | undefined;
  /** Type parsers for all results. Default: the shared registry. */
  types?: CustomTypesConfig | undefined;
  /** Command-line options for the server, as PGOPTIONS. Default: PGOPTIONS. */
  options?: string | undefined;
  /** Accepted; the wire is always UTF-8. Default: UTF8. */
  client_encoding?: string | undefined;
  /** Starts a replication connection. Default: none. */
  replication?: string | undefined;
  /** Queries are sent without waiting for the answers to those before. Default: false. */
  pipeline?: boolean | undefined;
  /** A result whose rows have more bytes than this on the wire fails. Default: no limit. */
  maxResultBytes?: number | undefined;
  /** Prepared statements kept per connection; 0: none are cached. Default: 256. */
  statementCacheSize?: number | undefined;
}

export type ConnectionConfig = ClientConfig;

/** Read when a client is built; may be changed at any time. */
export interface Defaults extends ClientConfig {
  poolSize?: number | undefined;
  poolIdleTimeout?: number | undefined;
  reapIntervalMillis?: number | undefined;
  /** Write-only: `true` makes int8 and its arrays numbers for the whole process. */
  parseInt8?: boolean | undefined;
  /** Dates are sent as UTC, not with the local offset. Default: false. */
  parseInputDatesAsUTC?: boolean | undefined;
}

export interface PoolConfig extends ClientConfig {
  /** Connections at most. Default: 10. */
  max?: number | undefined;
  /** Idle connections are not closed below this number. Default: 0. */
  min?: number | undefined;
  /** Milliseconds after which an idle connection is closed; 0 or null: never. Default: 10000. */
  idleTimeoutMillis?: number | undefined | null;
  /**
   * Milliseconds that a caller waits for a connection before AcquireTimeoutError.
   * Default: connectionTimeoutMillis.
   */
  acquireTimeoutMillis?: number | undefined;
  /**
   * Milliseconds. A connection that was idle for longer is checked before it is leased, which costs a round trip.
   * Default: 0, never.
   */
  validateAfterIdleMillis?: number | undefined;
  /** Callers that may wait at once; one more rejects with PoolFullError. Default: no limit. */
  maxWaiting?: number | undefined;
  /**
   * Milliseconds that `end()` waits for leased clients before it closes them; 0: for as long as it takes.
   * Default: 0, no limit.
   */
  drainTimeoutMillis?: number | undefined;
  /** Told about what the pool does. Anything but a function is a ConfigurationError. Default: none. */
  log?: ((...messages: any[]) => void) | undefined;
  /** As in pg, deprecated there. Default: the global one. */
  Promise?: PromiseConstructorLike | undefined;
  /** Idle connections do not keep the process alive. Default: false. */
  allowExitOnIdle?: boolean | undefined;
  /** A connection is closed after this many uses. Default: no limit. */
  maxUses?: number | undefined;
  /** Seconds after which a connection is closed, when it is idle; 0: never. Default: 0, no limit. */
  maxLifetimeSeconds?: number | undefined;
  /**
   * The class of the pool's clients. One that is not derived from Client has its connections pooled by pg-pool.
   * Default: ours.
   */
  Client?: (new () => ClientBase) | undefined;
  /**
   * Awaited for each new connection before anybody gets it; if it fails, so does the checkout, with its error.
   * Default: none.
   */
  onConnect?: ((client: ClientBase) => void) | undefined;
  /**
   * Called at the first checkout of a client; with an error the client is removed and the checkout fails.
   * Default: none.
   */
  verify?: ((client: VerifiedClient, done: (err?: Error) => void) => void) | undefined;
  /**
   * Opens `min` connections ahead of need and keeps them open, checks idle connections every 30 s, and spreads
   * `maxLifetimeSeconds`, as pools of `getPool` do. Default: false, or true with acquireTimeoutMillis, retryAttempts or
   * retryDelay.
   */
  enhanced?: boolean | undefined;
  /**
   * A connect that fails rejects the caller that has waited longest, as in pg. If false, callers wait to their
   * deadline while the pool goes on trying, unless the failure will not pass by itself (a wrong password).
   * Default: true.
   */
  failFast?: boolean | undefined;
  /** A name for the pool, shown in its errors, metrics and events. Default: none. */
  tier?: string | undefined;
  /** False: the pool is not measured. Default: true, or as DB_MONITOR says. */
  monitor?: boolean | undefined;
  /**
   * Milliseconds. A query that runs for so long is an event of the log (`query`, `slow`), without values; the wait for a
   * connection does not count. Default: 0, none.
   */
  slowQueryMillis?: number | undefined;
  /** Standbys that take queries with `readOnly`, see docs/guide/tiers.md. Default: none. */
  replica?: ReplicaConfig | undefined;
  /** The limits of this pool's alerts, in its monitor and on the live page. Default: as the DB_ALERT_* variables say. */
  alerts?: AlertThresholds | undefined;
  /** Retries after the first attempt, see docs/guide/retry.md; 0: none, as pg. Default: 0. */
  retryAttempts?: number | undefined;
  /** The same as `retryAttempts`. */
  maxRetries?: number | undefined;
  /** Milliseconds: the base of the delays before retries. Default: 50 for statements, 1000 for connects. */
  retryDelay?: number | undefined;
  /** The same as `retryDelay`. */
  baseDelay?: number | undefined;
  /** `off`: no retries, whatever else is set. Default: on. */
  retry?: Switch | undefined;
  /**
   * Milliseconds for waiting, connecting, running and all retries of a query or checkout; 0: none.
   * Default: none.
   */
  deadline?: number | undefined;
  /** A circuit breaker for the pool, see docs/guide/retry.md. Default: off. */
  breaker?: boolean | BreakerMode | BreakerConfig | undefined;
  /**
   * `on`: adaptive limits, see docs/guide/tiers.md. A pool with the tier `lowPriority` gives way, those without a tier or
   * with another name but `admin` are spared. Default: off.
   */
  adaptive?: Switch | undefined;
}

/** The option `replica`. Any other member is a ConfigurationError. */
export interface ReplicaConfig {
  /** One or several, separated by commas. User, database, password and TLS are those of the pool. */
  host: string;
  /** One for all, or as many as hosts. Default: 5432. */
  port?: number | string | undefined;
  /** Connections to each at most. Default: 5. */
  max?: number | undefined;
  /** Milliseconds: one that is further behind gets no queries. Default: 5000. */
  maxLagMillis?: number | undefined;
}

/** A replica as it stands. */
export interface ReplicaStatus {
  host: string;
  port: number;
  /** It is not too far behind, as far as is known. */
  isUsed: boolean;
  /** Milliseconds that it is behind at most; null: it is not known. */
  lagMillis: number | null;
  /** Queries that were sent to it, and those of them that the primary had to run. */
  queries: number;
  fallbacks: number;
}

export type Switch = boolean | 'on' | 'off';

/** `metrics`: tells its changes and stops nobody; `forced-open`: stops everybody. */
export type BreakerMode = 'off' | 'metrics' | 'enforce' | 'forced-open';

/** Any other member is a ConfigurationError. */
export interface BreakerConfig {
  /** What the breaker does. Default: enforce. */
  mode?: BreakerMode | undefined;
  /** Opens at this share of failures among the calls of a window. Default: 0.5. */
  failureRate?: number | undefined;
  /** Calls in a window below which the share says nothing. Default: 20. */
  minimumCalls?: number | undefined;
  /** Milliseconds. Default: 30000. */
  windowMillis?: number | undefined;
  /** Opens after so many failed connects in a row; those under way at the same time count as one. Default: 5. */
  failedConnects?: number | undefined;
  /** Milliseconds for which connects have to fail as well. Default: 5000. */
  failingMillis?: number | undefined;
  /** Milliseconds within which the first probe begins after it opened. Default: 500. */
  firstProbeMillis?: number | undefined;
  /** Milliseconds: the longest time between probes in the first minute. Default: 500. */
  probeMillis?: number | undefined;
  /** Milliseconds: the longest time between probes after that. Default: 5000. */
  longProbeMillis?: number | undefined;
}

export interface TransactionOptions {
  /** Default: the server's. */
  isolationLevel?: 'serializable' | 'repeatable read' | 'read committed' | 'read uncommitted' | (string & {}) | undefined;
  /** Default: false. */
  readOnly?: boolean | undefined;
  /** Running it twice does no harm: it runs again where the outcome of its COMMIT is unknown. Default: false. */
  idempotent?: boolean | undefined;
  /** Default: false. */
  deferrable?: boolean | undefined;
  /** Runs after the first one. Default: the pool's `retryAttempts`, else 3. */
  retries?: number | undefined;
  /** The same as `retries`. */
  maxRetries?: number | undefined;
  /** Milliseconds: the base of the delays. Default: the pool's. */
  retryDelay?: number | undefined;
  /** The same as `retryDelay`. */
  baseDelay?: number | undefined;
  /** Of 55P03, 55006, 23505 and 23P01 those after which it runs again. */
  retryOn?: readonly string[] | undefined;
  /** Milliseconds for everything; then the transaction is cut off. Default: the pool's. */
  deadline?: number | undefined;
  /**
   * Settings for this transaction alone, as by SET LOCAL, made in this order: `{ 'app.tenant': 42 }`. Sent as parameters,
   * together with BEGIN. Default: none.
   */
  set?: Readonly<Record<string, string | number | bigint | boolean>> | undefined;
}

/** What may be changed while a pool runs. */
export interface FailsafeChanges {
  /** `off`: no retries. */
  retry?: Switch | undefined;
  /** What the breaker does. */
  breaker?: boolean | BreakerMode | BreakerConfig | undefined;
  /** `off`: no adaptive limits; one in force is lifted. */
  adaptive?: Switch | undefined;
}

/** What may be changed while a pool runs; what is undefined stays. */
export interface PoolChanges extends FailsafeChanges {
  /** Connections at most, from 1. Above a lowered maximum idle ones are closed at once, lent ones when they come back. */
  max?: number | undefined;
  /** From 0. */
  min?: number | undefined;
  /** See PoolConfig. */
  failFast?: boolean | undefined;
}

/** The sizes of a tier; what is undefined stays. */
export interface TierSizes {
  max?: number | undefined;
  min?: number | undefined;
}

/** The event `retry` of a pool: a request runs again. */
export interface RetryEvent {
  tier: string | null;
  /** Which retry it is, from 1. */
  attempt: number;
  /** Of how many; null: until the deadline. */
  of: number | null;
  /** Milliseconds before it begins. */
  delay: number;
  /** SQLSTATE or the system's code. */
  code: string | null;
  /** How far the request had come. */
  phase: 'waiting' | 'connecting' | 'unsent' | 'sent' | 'transaction' | 'commit';
}

/** The event `breaker` of a pool: the breaker of one of its hosts has changed. */
export interface BreakerEvent {
  tier: string | null;
  /** The host and its port: `db1:5432`. */
  host: string;
  from: 'closed' | 'open';
  state: 'closed' | 'open';
  nextProbe: Date | null;
  /** The last failure that counted. */
  cause: Error | undefined;
}

export interface QueryConfig<I = any[]> {
  /** A prepared statement of this name; later queries of a client may leave out the text. Default: none. */
  name?: string | undefined;
  /** The statement. Without `values`, several separated by `;` are allowed. */
  text: string;
  /** The parameters `$1`, `$2`. Default: none. */
  values?: QueryConfigValues<I>;
  /** Type parsers for this query. Default: the client's. */
  types?: CustomTypesConfig | undefined;
  /** `extended`: the extended protocol also without values. Default: none. */
  queryMode?: string | undefined;
  /** The result is asked for in binary. Default: the client's. */
  binary?: boolean | undefined;
  /** Fetches so many rows at a time through a portal; all of them are still collected. Default: all at once. */
  rows?: number | undefined;
  /** Milliseconds, see ClientConfig. Default: the client's. */
  query_timeout?: number | undefined;
  /**
   * Ends the query, whether it waits or runs, with the signal's reason; what runs is cancelled on the server,
   * and its connection is not leased before that is settled. Default: none.
   */
  signal?: AbortSignal | undefined;
  /** A result whose rows have more bytes than this fails with code RESULT_TOO_LARGE. Default: the client's. */
  maxResultBytes?: number | undefined;
  /** Running it twice does no harm: `pool.query` may run it again when its answer is lost. Default: false. */
  idempotent?: boolean | undefined;
  /** It changes nothing; as `idempotent`, and `pool.query` may run it on a replica. Default: false. */
  readOnly?: boolean | undefined;
  /** Of `pool.query`: milliseconds for waiting, connecting, running and all retries. Default: the pool's. */
  deadline?: number | undefined;
  /** Of `pool.query`: as in PoolConfig. Default: the pool's. */
  retryAttempts?: number | undefined;
  /** The same as `retryAttempts`. */
  maxRetries?: number | undefined;
  /** Milliseconds: the base of the delays. Default: the pool's. */
  retryDelay?: number | undefined;
  /** The same as `retryDelay`. */
  baseDelay?: number | undefined;
  /** Of `pool.query`: of 55P03, 55006, 23505 and 23P01 those that are tried again. Default: none. */
  retryOn?: readonly string[] | undefined;
}

export interface CustomTypesConfig {
  getTypeParser: typeof pgTypes.getTypeParser;
}

/** Takes the connection for itself, as pg-cursor, pg-query-stream and pg-copy-streams do. */
export interface Submittable {
  submit: (connection: Connection) => void;
}

/** Options of `connect`. */
export interface ConnectOptions {
  /** Ends the wait, or the attempt to connect, with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Options of `listen`. */
export interface ListenOptions {
  /** Called when it listens again after a loss: what was notified in between may be missing. Default: none. */
  onGap?: ((gap: NotificationGap) => void) | undefined;
  /**
   * Milliseconds between two questions whether the server is there. A connection on which no answer comes within another
   * such time is lost. All channels of a pool have the shortest one. Default: 15000.
   */
  heartbeatMillis?: number | undefined;
}

/** A time in which notifications may have been missed. */
export interface NotificationGap {
  channel: string;
  /** The last sign of life of the connection that was lost. */
  since: Date;
  /** From then on it listens again. */
  until: Date;
  /** What the connection was lost to. */
  cause: Error | undefined;
}

/** What `listen` resolves with. */
export interface Subscription {
  readonly channel: string;
  /** No more is handed over from now on; resolves when the server knows. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Options of `stream`. */
export interface StreamOptions {
  /** Rows per page. Default: 1000. */
  batchSize?: number | undefined;
  /** Ends the iteration with the signal's reason. */
  signal?: AbortSignal | undefined;
}

export interface QueryArrayConfig<I = any[]> extends QueryConfig<I> {
  /** Rows as arrays. Default: objects. */
  rowMode: 'array';
}

export interface FieldDef {
  name: string;
  tableID: number;
  columnID: number;
  dataTypeID: number;
  dataTypeSize: number;
  dataTypeModifier: number;
  format: string;
}

export interface QueryResultBase {
  /** The command: SELECT, INSERT. */
  command: string;
  /** Rows returned or changed; null for commands that count none. */
  rowCount: number | null;
  oid: number;
  fields: FieldDef[];
}

export interface QueryResultRow {
  [column: string]: any;
}

export interface QueryResult<R extends QueryResultRow = any> extends QueryResultBase {
  rows: R[];
}

export interface QueryArrayResult<R extends any[] = any[]> extends QueryResultBase {
  rows: R[];
}

export interface Notification {
  processId: number;
  channel: string;
  payload?: string | undefined;
}

export interface ResultBuilder<R extends QueryResultRow = any> extends QueryResult<R> {
  addRow(row: R): void;
}

export interface QueryParse {
  name: string;
  text: string;
  types: string[];
}

type ValueMapper = (param: any, index: number) => any;

/** `I` outside a transaction, `T` in one, `E` in a failed one, null before the connection is ready. */
export type TransactionStatus = 'I' | 'T' | 'E' | null;

export interface BindConfig {
  portal?: string | undefined;
  statement?: string | undefined;
  binary?: string | undefined;
  values?: Array<Buffer | null | undefined | string> | undefined;
  valueMapper?: ValueMapper | undefined;
}

export interface ExecuteConfig {
  portal?: string | undefined;
  rows?: string | undefined;
}

export interface MessageConfig {
  type: string;
  name?: string | undefined;
}

/** A name, quoted for use in SQL. */
export function escapeIdentifier(str: string): string;

/** A text, quoted for use in SQL. */
export function escapeLiteral(str: string): string;

/** What a {@link Connection} is made with. */
export interface WireConfig extends ConnectionConfig {
  /** How TLS begins: after a question (`postgres`, the default) or at once (`direct`). */
  sslNegotiation?: 'postgres' | 'direct' | undefined;
}

/**
 * Writes the messages of the protocol and emits those of the server under pg's names: `readyForQuery`,
 * `rowDescription`, `dataRow`, `commandComplete`, `errorMessage`, `parameterStatus` and so on, each of them
 * also as `message`.
 *
 * `client.connection` stands for the connection of a client: it emits `parameterStatus`, `notice`,
 * `notification`, `errorMessage`, `readyForQuery`, `error` and `end`, and every message while a submittable
 * has the connection. One made by you is an {@link OwnConnection}.
 */
export interface Connection extends events.EventEmitter {
  readonly stream: stream.Duplex;

  bind(config: BindConfig | null, more: boolean): void;
  execute(config: ExecuteConfig | null, more: boolean): void;
  parse(query: QueryParse, more: boolean): void;
  query(text: string): void;
  describe(msg: MessageConfig, more: boolean): void;
  close(msg: MessageConfig, more: boolean): void;
  flush(): void;
  sync(): void;
  end(): void;
}

/**
 * A connection with a socket of its own; logging in is yours to do. Besides the messages it emits `connect`,
 * `sslconnect`, `error` and `end` (the stream is closed).
 */
export interface OwnConnection extends Connection {
  /** Opens the stream: a port and a host, or the path of a socket. */
  connect(port: number | string, host?: string): void;
  /** Asks whether the server speaks TLS; it answers with a letter, and TLS begins. */
  requestSsl(): void;
  /** The first message: `user`, `database` and other parameters of the session. */
  startup(config: Record<string, string>): void;
  /** The first message of a connection that asks to cancel what another one runs. */
  cancel(processID: number, secretKey: number): void;
  password(password: string): void;
  sendSASLInitialResponseMessage(mechanism: string, initialResponse: string): void;
  sendSCRAMClientFinalMessage(additionalData: string): void;

  bind(config?: BindConfig | null, more?: boolean): void;
  execute(config?: ExecuteConfig | null, more?: boolean): void;
  parse(query: QueryParse, more?: boolean): void;
  describe(msg: MessageConfig, more?: boolean): void;
  close(msg: MessageConfig, more?: boolean): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
  ref(): void;
  unref(): void;
}

export const Connection: {
  /** @param config `stream` (default: a new socket), `ssl`, `sslNegotiation`, `keepAlive` and its delay */
  new (config?: WireConfig): OwnConnection;
  readonly prototype: Connection;
};

/** The options of a pool, `port` and `ssl` typed as by pg, so that a Pool goes wherever one of pg is expected. */
export interface PoolOptions extends Omit<PoolConfig, 'port' | 'ssl'> {
  port?: number | undefined;
  ssl?: boolean | ConnectionOptions | undefined;
  max: number;
  maxUses: number;
  allowExitOnIdle: boolean;
  maxLifetimeSeconds: number;
  idleTimeoutMillis: number | null;
}

/**
 * A pool of connections. Events: `connect` (a new client, before anybody gets it), `acquire`, `release`,
 * `remove`, and `error` for an idle connection that died; without a listener that is no event.
 */
export class Pool extends events.EventEmitter {
  /** Opens nothing; the first query or checkout does. */
  constructor(config?: PoolConfig);

  /** Connections that are leased, idle or being opened. */
  readonly totalCount: number;
  readonly idleCount: number;
  /** Queries and checkouts that wait for a connection. */
  readonly waitingCount: number;
  /** Connections past their lifetime that are still leased. */
  readonly expiredCount: number;

  /** The replicas that take its queries with `readOnly`. */
  readonly replicas: readonly ReplicaStatus[];

  /** `end` has been called, and: it is done. */
  readonly ending: boolean;
  readonly ended: boolean;

  /** What the pool was made with; `password` and `ssl.key` are not enumerable. */
  options: PoolOptions;
  /** Told about what the pool does, as the option `log`; may be replaced. */
  log: (...messages: any[]) => void;

  /**
   * Takes a client out of the pool, to be given back with `client.release()`.
   *
   * Rejects with AcquireTimeoutError, with the error of a failed connect, or with "Cannot use a pool after
   * calling end on the pool".
   */
  connect(): Promise<PoolClient>;
  connect(options: ConnectOptions): Promise<PoolClient>;
  connect(
    callback: (err: Error | undefined, client: PoolClient | undefined, done: (release?: any) => void) => void,
  ): void;

  /**
   * The rows of one statement as an async iterable: the server sends a page of `batchSize` rows at a time,
   * and at most two pages are in memory. The connection is taken when the first row is asked
   * for, and given back at the end or when the iteration is left.
   */
  stream<R extends QueryResultRow = any, I = any[]>(
    query: string | QueryConfig<I>,
    values?: QueryConfigValues<I>,
    options?: StreamOptions,
  ): AsyncIterableIterator<R>;

  /**
   * Runs `work` between BEGIN and COMMIT on one client, and all of it again when the server has rolled it
   * back: so `work` must not have effects of its own that may not happen twice.
   *
   * Rejects with what `work` throws, with DatabaseError, or with CommitOutcomeUnknownError.
   */
  transaction<T>(work: (client: TransactionClient) => Promise<T> | T, options?: TransactionOptions): Promise<T>;

  /**
   * Calls `handler` with each notification of `channel`, from the moment it resolves. All channels of a pool share one
   * connection, which is none of the pool's `max`, and is opened anew when it is lost. `end` closes it.
   *
   * Rejects with what the connect, or LISTEN, fails with.
   */
  listen(
    channel: string,
    handler: (message: Notification) => void,
    options?: ListenOptions,
  ): Promise<Subscription>;

  /**
   * Resolves once the pool has a connection, for readiness probes; without one it waits as `connect` does. Rejects with
   * the last failure to connect, where there was one.
   */
  ready(): Promise<void>;

  /** Changes what may change while the pool runs. */
  configure(changes: PoolChanges): void;

  /** Refuses new work, rejects who waits, closes idle connections and waits for leased ones. */
  end(): Promise<void>;
  end(callback: () => void): void;

  /** Runs one statement on any connection; rejects with DatabaseError for what the server refuses. */
  query<T extends Submittable>(queryStream: T): T;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryArrayResult<R>>;
  query<R extends QueryResultRow = any, I = any[]>(queryConfig: QueryConfig<I>): Promise<QueryResult<R>>;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryResult<R>>;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    callback: (err: Error, result: QueryArrayResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryText: string,
    values: QueryConfigValues<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;

  on(event: 'retry', listener: (retry: RetryEvent) => void): this;
  on(event: 'breaker', listener: (change: BreakerEvent) => void): this;
  on<K extends 'error' | 'release' | 'connect' | 'acquire' | 'remove'>(
    event: K,
    listener: K extends 'error' | 'release'
      ? (err: Error, client: PoolClient) => void
      : (client: PoolClient) => void,
  ): this;
}

/** One connection. Declared for the sake of pg's types; at run time there is Client only. */
export class ClientBase extends events.EventEmitter {
  constructor(config?: string | ClientConfig);

  /** Opens the connection, once. */
  connect(): Promise<ClientBase>;
  connect(callback: ((err: Error) => void) | ((err: null, c: ClientBase) => void)): void;

  /**
   * Runs a statement after those asked for before.
   * @throws TypeError for a null query and for a callback that is no function
   */
  query<T extends Submittable>(queryStream: T): T;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryArrayResult<R>>;
  query<R extends QueryResultRow = any, I = any>(queryConfig: QueryConfig<I>): Promise<QueryResult<R>>;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    values?: QueryConfigValues<I>,
  ): Promise<QueryResult<R>>;
  query<R extends any[] = any[], I = any[]>(
    queryConfig: QueryArrayConfig<I>,
    callback: (err: Error, result: QueryArrayResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryTextOrConfig: string | QueryConfig<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;
  query<R extends QueryResultRow = any, I = any[]>(
    queryText: string,
    values: QueryConfigValues<I>,
    callback: (err: Error, result: QueryResult<R>) => void,
  ): void;

  /** In pg's types only; neither pg 8 nor this package has it. */
  copyFrom(queryText: string): stream.Writable;
  /** In pg's types only; neither pg 8 nor this package has it. */
  copyTo(queryText: string): stream.Readable;
  /** In pg's types only; neither pg 8 nor this package has it. */
  pauseDrain(): void;
  /** In pg's types only; neither pg 8 nor this package has it. */
  resumeDrain(): void;

  escapeIdentifier: typeof escapeIdentifier;
  escapeLiteral: typeof escapeLiteral;
  /** A parser for this client's results only. */
  setTypeParser: typeof pgTypes.setTypeParser;
  getTypeParser: typeof pgTypes.getTypeParser;

  getTransactionStatus(): TransactionStatus;

  on<E extends 'connect' | 'drain' | 'error' | 'notice' | 'notification' | 'end'>(
    event: E,
    listener: E extends 'connect' | 'drain' | 'end'
      ? () => void
      : E extends 'error'
        ? (err: Error) => void
        : E extends 'notice'
          ? (notice: NoticeMessage) => void
          : (message: Notification) => void,
  ): this;
}

export class Client extends ClientBase {
  user?: string | undefined;
  database?: string | undefined;
  port: number;
  host: string;
  password?: string | undefined;
  ssl: boolean;
  readonly pipeline: boolean;
  readonly connection: Connection;
  /** The process of the server, once connected. */
  readonly processID: number | null;
  /** What a cancel request has to show, once connected. */
  readonly secretKey: number | null;
  readonly sslNegotiation: 'postgres' | 'direct';
  readonly replication: string | undefined;
  /** Whether results of queries with values are asked for in binary. */
  binary: boolean;
  enableChannelBinding: boolean;
  scramMaxIterations: number;

  constructor(config?: string | ClientConfig);

  connect(): Promise<Client>;
  connect(options: ConnectOptions): Promise<Client>;
  connect(callback: ((err: Error) => void) | ((err: null, c: Client) => void)): void;

  /**
   * The rows of one statement as an async iterable: the server sends a page of `batchSize` rows at a time,
   * and at most two pages are in memory. The client does nothing else meanwhile.
   */
  stream<R extends QueryResultRow = any, I = any[]>(
    query: string | QueryConfig<I>,
    values?: QueryConfigValues<I>,
    options?: StreamOptions,
  ): AsyncIterableIterator<R>;

  /** Gives a pool's client back, if that has not been done; ends a client that stands alone. */
  [Symbol.asyncDispose](): Promise<void>;

  /** Closes the connection; a query under way fails with "Connection terminated". */
  end(): Promise<void>;
  end(callback: (err: Error) => void): void;

  /** The connection keeps the process alive (the default), or not. */
  ref(): void;
  unref(): void;

  /**
   * Uses this client, which must not be connected, to have the server of `client` cancel `query` while it
   * runs; one that waits is withdrawn. A failed request is told by the event `error`.
   */
  cancel(client: Client, query: Query): void;
}

export interface PoolClient extends Client {
  /**
   * Gives the client back; with an error or `true` its connection is closed.
   * @throws Error when it has been given back already
   */
  release(err?: Error | boolean): void;
}

/** The client of a transaction. */
export interface TransactionClient extends PoolClient {
  /**
   * Runs `work` inside a savepoint. An error undoes what it did and leaves the transaction usable; a conflict or a lost
   * connection has the whole transaction run again. One at a time; it has to be awaited.
   */
  transaction<T>(work: (client: TransactionClient) => Promise<T> | T): Promise<T>;
}

/** A Client as far as pg's own types know it. */
export interface PlainClient extends ClientBase {
  user?: string | undefined;
  database?: string | undefined;
  port: number;
  host: string;
  password?: string | undefined;
  ssl: boolean;
  readonly pipeline: boolean;
  readonly connection: Connection;
  connect(): Promise<PlainClient>;
  connect(callback: ((err: Error) => void) | ((err: null, c: PlainClient) => void)): void;
  end(): Promise<void>;
  end(callback: (err: Error) => void): void;
}

/** A PoolClient as far as pg's own types know it, so that pool options of either package fit the other. */
export interface VerifiedClient extends PlainClient {
  release(err?: Error | boolean): void;
}

/** A statement that answers by events: `row`, `end`, `error`. */
export class Query<R extends QueryResultRow = any, I extends any[] = any>
  extends events.EventEmitter
  implements Submittable
{
  constructor(
    queryTextOrConfig?: string | QueryConfig<I>,
    callback?: (error: Error | undefined, result: ResultBuilder<R>) => void,
  );
  constructor(
    queryTextOrConfig?: string | QueryConfig<I>,
    values?: I,
    callback?: (error: Error | undefined, result: ResultBuilder<R>) => void,
  );
  text: string | undefined;
  values: I | undefined;
  name: string | undefined;
  rows: number | undefined;
  types: CustomTypesConfig | undefined;
  queryMode: string | undefined;
  binary: boolean | undefined;
  portal: string;
  /** With one no `error` event is emitted. */
  callback: ((error: Error | undefined, result: ResultBuilder<R>) => void) | undefined;
  submit: (connection: Connection) => void;
  /** Told of a failure: calls the callback, or emits `error`. */
  handleError(error: Error, connection?: Connection): void;
  on<E extends 'row' | 'error' | 'end'>(
    event: E,
    listener: E extends 'row'
      ? (row: R, result?: ResultBuilder<R>) => void
      : E extends 'error'
        ? (err: Error) => void
        : (result: ResultBuilder<R>) => void,
  ): this;
}

/** The registry of type parsers; pg's own, so that a parser set through either package holds for both. */
export const types: typeof pgTypes;

export const defaults: Defaults & ClientConfig;

/** Null: there is no binding to libpq here. Typed as by pg, for `(pg.native ?? pg).Pool`. */
export const native: typeof import('./index.js') | null;

/** A type of pg's declarations: neither pg nor this package has such a class at run time. */
export class Events extends events.EventEmitter {
  on(event: 'error', listener: (err: Error, client: Client) => void): this;
}

interface ServerFields {
  severity: string | undefined;
  /** The SQLSTATE. */
  code: string | undefined;
  detail: string | undefined;
  hint: string | undefined;
  position: string | undefined;
  internalPosition: string | undefined;
  internalQuery: string | undefined;
  where: string | undefined;
  schema: string | undefined;
  table: string | undefined;
  column: string | undefined;
  dataType: string | undefined;
  constraint: string | undefined;
  file: string | undefined;
  line: string | undefined;
  routine: string | undefined;
}

/** What the server refused, with every field it sent. */
export class DatabaseError extends Error {
  /** Set where the request may have taken effect: the answer to an attempt was lost. */
  readonly ambiguous?: true;
  readonly length: number;
  readonly name: 'error';
  severity: string | undefined;
  /** The SQLSTATE. */
  code: string | undefined;
  detail: string | undefined;
  hint: string | undefined;
  position: string | undefined;
  internalPosition: string | undefined;
  internalQuery: string | undefined;
  where: string | undefined;
  schema: string | undefined;
  table: string | undefined;
  column: string | undefined;
  dataType: string | undefined;
  constraint: string | undefined;
  file: string | undefined;
  line: string | undefined;
  routine: string | undefined;
  constructor(message: string, length: number, name: string);
}

/** What the server remarked; not an error. */
export interface NoticeMessage extends ServerFields {
  readonly length: number;
  readonly message: string | undefined;
  readonly name: 'notice';
}

/** Type parsers of one client, above those of the registry. */
export class TypeOverrides implements CustomTypesConfig {
  constructor(types?: CustomTypesConfig);
  setTypeParser: typeof pgTypes.setTypeParser;
  getTypeParser: typeof pgTypes.getTypeParser;
}

export class Result<R extends QueryResultRow = any> implements QueryResult<R> {
  command: string;
  rowCount: number | null;
  oid: number;
  fields: FieldDef[];
  rows: R[];

  constructor(rowMode: string, t: typeof types);

  addFields(fields: FieldDef[]): void;
  /** One row of texts, or nulls, as an object or array with parsed values. */
  parseRow(row: Array<string | null>): R;
  addRow(row: R): void;
  addCommandComplete(message: { text?: string; command?: string }): void;
}

/** What libraries of pg import from `pg/lib/utils`. */
export const utils: {
  /** A JavaScript value as it is sent: a text, bytes, or null. */
  prepareValue(value: unknown): string | Buffer | null;
  /** The call forms of `query` as one config; changes a config that is given. */
  normalizeQueryConfig(config: string | QueryConfig<any>, values?: unknown, callback?: unknown): QueryConfig<any>;
  escapeIdentifier: typeof escapeIdentifier;
  escapeLiteral: typeof escapeLiteral;
};

// ---------------------------------------------------------------------------------------------------
// What this package adds to pg.

/** The priorities of the process's pools. */
export type Tier = 'highPriority' | 'lowPriority' | 'admin';

/**
 * The pool of a priority, configured by the DB_* variables and shared by the process. Unknown names mean
 * `highPriority`; with DB_TIERS=off all names lead to one pool.
 * @throws ConfigurationError naming every variable that makes no sense
 */
export function getPool(name?: Tier | (string & {})): Pool;

/**
 * Changes the tiers while the application runs, those included that are opened later. `tiers: 'off'`: all names lead to
 * one pool; the pools of before close their connections as these become free. `retry: 'off'` equals DB_RETRY=off.
 * @throws TypeError naming every member that is unknown or makes no sense; then nothing is changed
 */
export function configure(changes: TierChanges<Tier>): void;

/** What may be changed of tiers while the application runs; what is undefined stays. */
export interface TierChanges<Name extends string> extends FailsafeChanges {
  tiers?: 'on' | 'off' | undefined;
  /** As DB_MONITOR. */
  monitor?: 'on' | 'off' | undefined;
  sizes?: { readonly [name in Name]?: TierSizes } | undefined;
}

/** The options of `createTiers`. */
export interface TierSetOptions<Tiers extends { readonly [name: string]: PoolConfig }> {
  /**
   * The options of each tier's pool. A tier has its own, then those of `shared`, then the defaults of tiers: `max` 10,
   * `min` 2, three retries, the breaker on, as docs/guide/configuration.md lists them.
   */
  tiers: Tiers;
  /** What a tier has none of its own for. */
  shared?: PoolConfig | undefined;
  /** The tier of unknown names, of `executeQueryWithRetry` and of `executeTransactionWithRetry`. Default: the first. */
  default?: (keyof Tiers & string) | undefined;
  /** Connections of all tiers together at most. Whoever comes first in `tiers` is served first. Default: no limit. */
  totalMax?: number | undefined;
}

/** Tiers with names of the application's own. */
export interface TierSet<Name extends string> {
  /** The pool of a tier, made when it is first asked for. A name that is none leads to the default. */
  getPool(name?: Name): Pool;
  /** The same pools as properties. */
  readonly pools: { readonly [name in Name]: Pool };
  /** The monitors of the tiers. */
  readonly monitors: MonitorsOf<Name>;
  /** See `configure`; for the tiers of this set. */
  configure(changes: TierChanges<Name>): void;
  /** See `executeQueryWithRetry`; on the default tier, or on `pool`. */
  executeQueryWithRetry: typeof executeQueryWithRetry;
  /** See `executeTransactionWithRetry`; on the default tier, or on `pool`. */
  executeTransactionWithRetry: typeof executeTransactionWithRetry;
  /** Ends the pools that are open; see `Pool.end`. */
  end(): Promise<void>;
}

/**
 * Tiers in code, where `getPool` takes those of the DB_* variables. Nothing is opened before a pool is asked for.
 * @throws ConfigurationError naming every option that makes no sense
 */
export function createTiers<Tiers extends { readonly [name: string]: PoolConfig }>(
  options: TierSetOptions<Tiers>,
): TierSet<keyof Tiers & string>;

/** The same pools as properties; each is made when it is first read. */
export const pools: { readonly [name in Tier]: Pool };

/** Ends the tiers that are open, each once, also where several names lead to one pool; see `Pool.end`. */
export function endPools(): Promise<void>;

/** No connection became available in time. The message begins as pg's. */
export class AcquireTimeoutError extends Error {
  /** Set where the request may have taken effect: the answer to an attempt was lost. */
  readonly ambiguous?: true;
  readonly code: 'ACQUIRE_TIMEOUT';
  /** Counts of the pool at that moment. */
  readonly total: number;
  readonly idle: number;
  readonly used: number;
  readonly waiting: number;
  readonly tier: string | undefined;
}

/** Options of `executeQueryWithRetry`. */
export interface QueryRetryOptions extends Pick<QueryConfig, 'idempotent' | 'readOnly' | 'deadline' | 'retryOn'> {
  /** Default: the tier `highPriority`. */
  pool?: Pool | undefined;
}

/** Options of `executeTransactionWithRetry`. */
export interface TransactionRetryOptions
  extends Omit<TransactionOptions, 'retries' | 'maxRetries' | 'retryDelay' | 'baseDelay'> {
  /** Default: the tier `highPriority`. */
  pool?: Pool | undefined;
}

/** How often something is tried again, among the options of both functions. */
export interface RetryCounts {
  /** Default: 3. */
  maxRetries?: number | undefined;
  /** Milliseconds. Default: 1000. */
  baseDelay?: number | undefined;
}

/**
 * Runs one statement with retry, on the tier `highPriority` or on `pool`. What may have run already runs
 * again only with `idempotent` or `readOnly`.
 * @param maxRetries default 3
 * @param baseDelay milliseconds, default 1000
 */
export function executeQueryWithRetry<R extends QueryResultRow = any, I = any[]>(
  query: string | QueryConfig<I>,
  values?: QueryConfigValues<I>,
  maxRetries?: number,
  baseDelay?: number,
  options?: QueryRetryOptions,
): Promise<QueryResult<R>>;
export function executeQueryWithRetry<R extends QueryResultRow = any, I = any[]>(
  query: string | QueryConfig<I>,
  values: QueryConfigValues<I> | undefined,
  options: QueryRetryOptions & RetryCounts,
): Promise<QueryResult<R>>;

/** A statement of `executeTransactionWithRetry`. */
export type TransactionStatement = string | QueryConfig<any> | { query: string | QueryConfig<any>; values?: any[] | undefined };

/** Runs statements in one transaction, and all of it again when the server has rolled it back. */
export function executeTransactionWithRetry<R extends QueryResultRow = any>(
  queries: readonly TransactionStatement[],
  maxRetries?: number,
  baseDelay?: number,
  options?: TransactionRetryOptions,
): Promise<QueryResult<R>[]>;
export function executeTransactionWithRetry<R extends QueryResultRow = any>(
  queries: readonly TransactionStatement[],
  options: TransactionRetryOptions & RetryCounts,
): Promise<QueryResult<R>[]>;

/**
 * The breaker is open, of several hosts that of each which could serve, and the caller has neither retries nor a
 * deadline to wait for the next probe. Nothing was sent. The message ends with the last failure.
 */
export class CircuitOpenError extends Error {
  /** Set where the request may have taken effect: the answer to an attempt was lost. */
  readonly ambiguous?: true;
  readonly code: 'CIRCUIT_OPEN';
  readonly tier: string | undefined;
  /** The host that is probed next, and its port. */
  readonly host: string;
  /** When a host is tried again; null: when somebody says so. */
  readonly nextProbe: Date | null;
}

/** The `cause` of an error that is not retried because the pool has spent its retries. */
export class RetryBudgetError extends Error {
  readonly code: 'RETRY_BUDGET_SPENT';
  readonly tier: string | undefined;
}

/** The connection was lost while COMMIT was under way, and the server cannot say what became of it. */
export class CommitOutcomeUnknownError extends Error {
  /** Set where the request may have taken effect: the answer to an attempt was lost. */
  readonly ambiguous?: true;
  readonly code: 'COMMIT_OUTCOME_UNKNOWN';
  readonly transactionId: string | undefined;
}

/** `maxWaiting` callers wait already. */
export class PoolFullError extends Error {
  /** Set where the request may have taken effect: the answer to an attempt was lost. */
  readonly ambiguous?: true;
  readonly code: 'POOL_FULL';
  readonly waiting: number;
  readonly maxWaiting: number;
  readonly tier: string | undefined;
}

/** DB_* variables, or options of a pool, that make no sense. */
export class ConfigurationError extends Error {
  readonly code: 'INVALID_CONFIGURATION';
  /** One line per variable or option. */
  readonly problems: readonly string[];
}

// ---------------------------------------------------------------------------------------------------
// Monitoring.

/** A distribution of times, in milliseconds. */
export interface TimesInMillis {
  count: number;
  mean: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

/** One pool at one moment. Times are in milliseconds. */
export interface PoolMetrics {
  id: number;
  /** The tier; of a pool without one, where it leads. Unique in the process. */
  name: string;
  /** `limit`: how many there may be at this moment: `max`, or what a shared budget leaves of it. */
  connections: {
    total: number;
    idle: number;
    used: number;
    connecting: number;
    max: number;
    min: number;
    limit: number;
  };
  /** Requests that wait for a connection, and how long the oldest has waited. */
  waiting: number;
  oldestWait: number | null;
  /** Statements answered since the pool was made, and those of them that failed (cancelled ones do not count). */
  operations: number;
  errors: number;
  errorsByClass: Record<string, number>;
  /** From the call to the answer; to get a connection; between getting and giving back; to make one. */
  operation: TimesInMillis;
  acquire: TimesInMillis;
  use: TimesInMillis;
  connect: TimesInMillis;
  rows: number;
  timeouts: number;
  opened: number;
  connectFailures: number;
  closed: Record<string, number>;
  /** Clients leased for over 30 s; transactions left open at the return. */
  leaks: { connections: number; transactions: number };
  retries: number;
  retriesDenied: number;
  /** Of the host whose breaker fares best: while one is closed, the pool can work. */
  breaker: 'closed' | 'open';
  /** Of each host, in the order they were named: of one that is open the last failure, and when it is probed next (ms since 1970). */
  breakers: { host: string; state: 'closed' | 'open'; reason: string | null; nextProbe: number | null }[];
  /** Whether it bars connections while it is open; that of `admin` only tells. */
  breakerStops: boolean;
  breakerRejected: number;
  commitsUnknown: number;
  failovers: number;
  /** The adaptive limit in force, and how often it was reduced: answers above were slow, or the server was full. */
  adaptive: { limit: number; slow: number; full: number } | null;
  /** The rules whose alerts fire. */
  alerts: AlertRule[];
  lastConnectError: string | null;
  /** The database, and the `application_name` of the sessions. */
  database: string;
  application: string | null;
  /** Where the latest connection leads; a pooler may keep its version to itself. null: there was none yet. */
  server: { host: string; version: string | null } | null;
  /** How long a query runs that is logged as slow; null: none is. */
  slowQueryMillis: number | null;
}

/** One metric, in the names and units of OpenTelemetry. */
export interface MetricSeries {
  name: string;
  kind: 'counter' | 'gauge' | 'histogram';
  unit: string;
  help: string;
  points: Array<
    { attributes: Record<string, string> } & (
      | { value: number }
      | { count: number; sum: number; p50: number | null; p95: number | null; p99: number | null }
    )
  >;
}

/** Everything that is measured in the process, worker threads included. */
export interface MetricsSnapshot {
  /** Milliseconds since 1970. */
  at: number;
  pools: PoolMetrics[];
  series: MetricSeries[];
}

export type AlertRule = 'waiting' | 'acquire' | 'error_rate' | 'utilisation';

/** Everything at one moment. */
export function metrics(): MetricsSnapshot;

/** The same in the text format of Prometheus. */
export function metricsText(): string;

/** When an alert fires and clears. Times in milliseconds. */
export interface AlertThreshold {
  /** Fires when the value has been above this for `forMillis`. */
  above?: number | undefined;
  forMillis?: number | undefined;
  /** Clears when the value has been below this for `clearMillis`. */
  below?: number | undefined;
  clearMillis?: number | undefined;
}

/** Limits of all alerts. What is absent comes from the DB_ALERT_* variables, else from the defaults. */
export interface AlertThresholds {
  /** Requests that wait. Default: above 10 for 5 min, below 5 for 2 min. */
  waiting?: AlertThreshold | undefined;
  /** Milliseconds to get a connection: p95 of a minute, or the oldest waiter. Default: above 5000 at once, below 2500 for 2 min. */
  acquire?: AlertThreshold | undefined;
  /** Share of the operations of a minute that fail. Default: above 0.05 for 15 min, below 0.03 for 5 min. */
  errorRate?: AlertThreshold | undefined;
  /** Share of the connections in use. Default: above 0.9 for 10 min, below 0.8 for 5 min. */
  utilisation?: AlertThreshold | undefined;
  /** Fewer operations in a minute say nothing about the error rate. Default: 50. */
  leastOperations?: number | undefined;
  /** A firing alert is repeated this often; 0: never. Default: 30 min. */
  reminderMillis?: number | undefined;
}

/** What pg's pools tell of themselves; enough to be watched. */
export interface Watchable {
  readonly totalCount: number;
  readonly idleCount: number;
  readonly waitingCount: number;
}

/** A change of an alert. Times are milliseconds since 1970. */
export interface Alert {
  rule: AlertRule;
  turn: 'fired' | 'reminded' | 'cleared';
  tier: string | null;
  value: number;
  threshold: number;
  unit: 'requests' | 'ms' | 'ratio';
  /** Since when the value is above the limit, and when the alert fired. */
  since: number;
  firedAt: number;
  /** It fires still; nothing changed. */
  reminder: boolean;
  /** What it is likely due to, most likely first. */
  causes: Array<{
    kind: 'event_loop' | 'server' | 'breaker' | 'leak' | 'failures' | 'slow_use' | 'load';
    text: string;
  }>;
}

/** What happened between two samples. */
export interface MetricsWindow {
  seconds: number;
  operations: number;
  errors: number;
  errorsByClass: Record<string, number>;
  /** Operations per second. */
  throughput: number | null;
  /** Known of our own pools only. */
  rows: number | null;
  operation: TimesInMillis | null;
  acquire: TimesInMillis | null;
}

/** What a monitor saw in its latest sample; before the first one the counts are 0 and the rest is null or empty. */
export interface MonitorMetrics {
  /** When the sample was taken. */
  at: number | null;
  /** The pool's own counts. */
  totalConnections: number;
  idleConnections: number;
  waitingRequests: number;
  /** Operations that failed since the pool was made; of a pool that is not ours, the errors that were recorded. */
  errors: number;
  /** The latest error of `recordError`, or of an idle connection of the pool. */
  lastError: { message: string; timestamp: Date; code: string | null; name?: string } | null;
  name: string | null;
  connections: PoolMetrics['connections'] | null;
  waiting: number | null;
  oldestWait: number | null;
  /** Since the sample before, and in the last minute. */
  interval: MetricsWindow | null;
  minute: MetricsWindow | null;
  /** What the alerts watch; null: nothing is known, which holds their state. */
  values: Record<AlertRule, number | null>;
  breaker: PoolMetrics['breaker'];
  lastConnectError: string | null;
  firing: AlertRule[];
  /** p99 delay of the JavaScript thread since the sample before, in milliseconds. */
  eventLoopLag: number | null;
  /** Clients leased for longer than `leakMillis` (default 30000), with the stack of who acquired them. */
  leaks: Array<{ heldMillis: number; stack?: string }>;
  /** Errors that `recordError` was called with. */
  recordedErrors: number;
}

export interface MonitorEvents {
  alert: [alert: Alert];
  clear: [alert: Alert];
  metrics: [metrics: MonitorMetrics];
}

/** Options of `startMonitoring`. */
export interface MonitorOptions {
  /**
   * Gets a line per sample and per change of an alert; false: nobody. Default: the global console, unless PGPOOL_LOG is
   * `off`; alerts that the pool's own log writes to standard error are left out there.
   */
  log?: { log(line: string): void; warn(line: string): void } | false | undefined;
}

/** Samples a pool regularly and emits alerts. Listeners that throw are counted and harm nobody. */
export class ConnectionHealthMonitor extends events.EventEmitter {
  constructor(
    pool: Watchable,
    options?: string | { name?: string; thresholds?: AlertThresholds; leakMillis?: number },
  );
  readonly pool: Watchable;
  readonly name: string | undefined;
  /** The latest metrics. */
  readonly metrics: MonitorMetrics;
  /** The timer; null while the monitor is stopped. */
  readonly intervalId: ReturnType<typeof setInterval> | null;
  /** Samples now and then every `interval` milliseconds (default 30000); keeps no process alive. */
  startMonitoring(interval?: number, options?: MonitorOptions): this;
  stopMonitoring(): this;
  /** Samples now. `at`: milliseconds of a clock that only goes forward, for tests. */
  updateMetrics(at?: number): MonitorMetrics;
  /** Counts an error that the application saw; the statements of our pools are counted without it. */
  recordError(error: unknown): void;
  on<E extends keyof MonitorEvents>(event: E, listener: (...values: MonitorEvents[E]) => void): this;
  once<E extends keyof MonitorEvents>(event: E, listener: (...values: MonitorEvents[E]) => void): this;
  off<E extends keyof MonitorEvents>(event: E, listener: (...values: MonitorEvents[E]) => void): this;
}

/**
 * The monitors of the tiers, its only enumerable properties; emits `alert`, `clear` and `metrics` of all of them, with the
 * monitor.
 */
export type MonitorsOf<Name extends string> = Monitors & { readonly [name in Name]: ConnectionHealthMonitor };

/** The part of `monitors` that does not depend on the names of the tiers. */
export interface Monitors extends events.EventEmitter {
  /** A monitor of a further pool, heard here too. */
  watch(pool: Watchable, options?: ConstructorParameters<typeof ConnectionHealthMonitor>[1]): ConnectionHealthMonitor;
  startMonitoring(interval?: number, options?: MonitorOptions): this;
  stopMonitoring(): this;
  on<E extends keyof MonitorEvents>(
    event: E,
    listener: (value: MonitorEvents[E][0], monitor: ConnectionHealthMonitor) => void,
  ): this;
}

export const monitors: MonitorsOf<Tier>;

/** A running monitor server. */
export interface MonitorServer {
  readonly url: string;
  readonly port: number;
  readonly host: string;
  close(): Promise<void>;
}

/**
 * Serves the live page at `/`, Prometheus' text at `/metrics`, and `/health`: 200, or 503 with the reason when a
 * pool cannot work. Listens on loopback by default, and keeps no process alive. Pages of another origin get nothing.
 * @throws TypeError (as a rejection) for a `host` beyond loopback without `token`
 */
export function monitorServer(options?: {
  /** Default: 9187. 0: any free one. */
  port?: number | undefined;
  /** Default: 127.0.0.1. Beyond loopback a `token` is asked for. */
  host?: string | undefined;
  /** Names beside `host`, addresses and localhost that a request may have in its `Host` header. Default: none. */
  allowedHosts?: string[] | undefined;
  /**
   * What a request has to carry: `Authorization: Bearer <token>`, or the token as password of Basic. Default: none on
   * loopback, required elsewhere; false: none anywhere.
   */
  token?: string | false | undefined;
  /** Milliseconds between two samples. Default: 2000. */
  interval?: number | undefined;
  thresholds?: AlertThresholds | undefined;
}): Promise<MonitorServer>;

/** A notable event. The names of targets, events and fields are stable; secrets and parameters are never in it. */
export interface LogEvent {
  /** Counts up. */
  number: number;
  /** Milliseconds since 1970. */
  at: number;
  level: 'debug' | 'info' | 'warn' | 'error';
  /** What it is about: `connection`, `retry`, `breaker`, `leak`, `failover`, `adaptive`, `commit`, `alert`, `query`. */
  target: string;
  event: string;
  pool: string | null;
  fields: Record<string, unknown>;
}

/**
 * Calls `listener` with every notable event from now on. Default level: info. A listener that throws is counted and
 * harms nobody. PGPOOL_LOG writes the same to standard error (PGPOOL_LOG_FORMAT=json); unset, the warnings of the tiers.
 * @returns a function that ends it
 */
export function onLog(listener: (event: LogEvent) => void, options?: { level?: LogEvent['level'] }): () => void;

/**
 * Tells OpenTelemetry what `metrics()` tells, as observable instruments of the same names; a histogram becomes the
 * counters `.count`, `.sum` and `.bucket` (with the attribute `le`). Needs `@opentelemetry/api` or a `meterProvider`.
 * @returns a function that ends it
 */
export function useOpenTelemetry(options?: {
  /** A MeterProvider. Default: the global one, which has to be set before. */
  meterProvider?: { getMeter(name: string, version?: string): unknown } | undefined;
  /** A PgInstrumentation of `@opentelemetry/instrumentation-pg` that is to make its spans for this package's classes too. */
  instrumentation?: { getModuleDefinitions(): unknown } | undefined;
}): () => void;
