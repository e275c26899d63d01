import { ClientConfig } from '../index.js';

/** What a connection is made with: options and connection string, the environment beneath, then `defaults`. */
declare class ConnectionParameters {
  constructor(
    config?:
      | string
      | (Omit<ClientConfig, 'binary' | 'client_encoding' | 'replication' | 'lock_timeout'> &
          ConnectionParameters.Loose),
  );

  user?: string | undefined;
  database?: string | undefined;
  password?: string | (() => string | Promise<string>) | undefined;
  port?: number | undefined;
  host?: string | undefined;
  ssl?: ClientConfig['ssl'];
  options?: string | undefined;
  application_name?: string | undefined;
  statement_timeout?: false | number | undefined;
  query_timeout?: number | undefined;
  idle_in_transaction_session_timeout?: number | undefined;

  /** The same as a connection string of libpq, the host resolved to an address. */
  getLibpqConnectionString<R>(callback: (error: Error | null, text: string | null) => R): R;
}

interface ConnectionParameters extends ConnectionParameters.Loose {}

declare namespace ConnectionParameters {
  interface Loose {
    binary?: unknown;
    client_encoding?: unknown;
    replication?: unknown;
    isDomainSocket?: unknown;
    fallback_application_name?: unknown;
    lock_timeout?: unknown;
    connect_timeout?: unknown;
    keepalives?: unknown;
    keepalives_idle?: unknown;
  }
}

export = ConnectionParameters;
