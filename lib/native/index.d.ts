// What the native part exports, as `tsc` checks the calls of lib/ against it: docs/design/boundary.md, "Calls into
// Rust", has what each does. The public types are those of index.d.ts beside package.json.

/** An error of a socket of Node's. */
interface DialError extends ApplicationError {
  code?: string;
  syscall?: string;
  address?: string;
  port?: number;
  lost: boolean;
}

/** An error of application code, kept in JavaScript under `number`. */
interface ApplicationError {
  number: number;
  /** Absent: the core's own error stands. */
  message?: string;
}

export class Bridge {
  attach(wake: () => void): void;
  static layout(): string;
  static version(): string;
  take(into: Uint8Array): number;
  skip(into: Uint8Array): void;
  ref(): void;
  unref(): void;
  listen(on: boolean): void;
}

/** `NativePool` in the text of lib/. */
export class Pool {
  constructor(bridge: Bridge, pool: number, settings: string);
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
  readonly expired: number;
  readonly metricsId: number;
  query(id: number, buffer: Uint8Array, length: number): void;
  connect(id: number, deadline?: number, attempts?: number, base?: number, atOnce?: boolean): number;
  send(connection: number, id: number, buffer: Uint8Array, length: number): void;
  sendFlight(connection: number, id: number, buffer: Uint8Array): void;
  startRaw(connection: number, id: number): boolean;
  writeRaw(connection: number, id: number, buffer: Uint8Array): number;
  pauseRaw(connection: number, id: number, on: boolean): void;
  endRaw(connection: number, id: number): boolean;
  turnPage(connection: number, id: number, on: boolean): boolean;
  release(connection: number, destroy: boolean): void;
  closeConnection(connection: number, error?: ApplicationError): boolean;
  cancel(id: number): boolean;
  awaitOnConnect(on: boolean): void;
  onConnectDone(connection: number, error?: ApplicationError): void;
  interceptConnects(on: boolean): void;
  resolveConnect(attempt: number, error?: ApplicationError): void;
  givePassword(attempt: number, password: string | null | undefined, error?: ApplicationError): void;
  dialed(socket: number, error?: DialError | null, certificate?: Uint8Array): void;
  lookedUp(lookup: number, addresses: string[], error?: DialError | null): void;
  socketData(socket: number, bytes: Uint8Array): boolean;
  socketWritten(socket: number, bytes: number): void;
  socketClosed(socket: number): void;
  decideRetry(id: number, run: string): void;
  sleep(id: number, milliseconds: number): void;
  watchTransaction(connection: number): void;
  mayHaveCommitted(connection: number): boolean;
  isConflict(code: string): boolean;
  isCancelled(code: string): boolean;
  mayGoWithOthers(text: string): boolean;
  commitUnknown(): void;
  configure(changes: string): void;
  holdIdleTimeout(on: boolean): void;
  end(id: number): void;
}
export type NativePool = Pool;

export const Telemetry: {
  snapshot(): string;
  series(): string;
  text(): string;
  table(): string;
  entries(number: number): string;
  overdue(pool: number, connection: number, heldMillis: number, stack?: string): void;
  listenerFault(): void;
  flush(): void;
};

export class Monitor {
  constructor(thresholds: string);
  sample(at: number, pool: number | string, context: string): string;
  close(): void;
}
