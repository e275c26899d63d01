'use strict';

// Layout of the boundary: its numbers and names, each of them once. src/binding/layout.rs has the same for the core,
// docs/design/boundary.md describes them, and a test compares the three. It requires nothing, so that every layer
// may read it.

/** Kinds of records in a frame. */
const RECORDS = {
  SHAPE: 1,
  ROWS: 2,
  COMMAND: 3,
  DONE: 4,
  FAIL: 5,
  LEASED: 6,
  OPENED: 7,
  CLOSED: 8,
  CONNECTION_EVENT: 9,
  ASK_PASSWORD: 10,
  FORGET: 11,
  RESTART: 12,
  RAW: 13,
  SUSPENDED: 14,
  POOL_EVENT: 15,
  DIAL: 16,
  SOCKET_WRITE: 17,
  SOCKET_RESUME: 18,
  SOCKET_CLOSE: 19,
  LOG: 20,
  LOGIN_STEP: 21,
  BEFORE_CONNECT: 22,
  CONNECT_FAILED: 23,
  OVERDUE: 24,
  LOOKUP: 25,
};

/** Words of a record and of its header, and bits of its kind, above which its flags are. */
const RECORD = { LENGTH: 0, KIND: 1, ID: 2, ARGUMENT: 3, HEADER: 4, KIND_BITS: 8 };

/** Words of a ROWS record after its header; `HEADER`: where the slots begin. */
const ROWS = { COUNT: 4, RAW_LENGTH: 5, HEADER: 6 };
const ROWS_FLAGS = { SHORT_TEXTS: 1 };

/** Flags of a RAW record without bytes. */
const RAW_FLAGS = { BEGUN: 1, DRAINED: 2 };

/** Words of a request and of its header. */
const REQUEST = {
  FLAGS: 0,
  TEXT_LENGTH: 1,
  NAME_LENGTH: 2,
  PARAMETERS: 3,
  QUERY_TIMEOUT: 4,
  FETCH: 5,
  HEADER: 6,
};
const REQUEST_FLAGS = {
  SIMPLE: 1,
  BINARY: 2,
  IDEMPOTENT: 4,
  READ_ONLY: 8,
  CANCELLABLE: 16,
  PAGED: 32,
  LIMITED: 64,
  RETRY_OPTIONS: 128,
  JOINED: 256,
  OWN: 512,
};

/** Words of the retry options of a request, and bytes of each code behind them. */
const RETRY_OPTIONS = {
  DEADLINE: 0,
  ATTEMPTS: 1,
  BASE_DELAY: 2,
  CODES: 3,
  HEADER: 4,
  CODE_BYTES: 8,
  UNSET: 0xffffffff,
};

/** Kinds of slots: what the eight bytes of a field hold. */
const SLOTS = { TEXT: 0, NUMBER: 1, BOOLEAN: 2, INSTANT: 3, LOCAL: 4, BINARY: 5 };

/** Length word of a text slot: NULL, or a bit of it. */
const TEXT_SLOT = { NULL: 0xffffffff, NOT_ASCII: 0x40000000 };

/** High word of a number slot that is NaN. */
const NUMBER_SLOT = { NULL: 0x7ff80001, SEE_TEXT: 0x7ff80002 };

/** Kinds of errors as JSON. */
const ERROR_KINDS = {
  DATABASE: 'database',
  SYSTEM: 'system',
  AGGREGATE: 'aggregate',
  PLAIN: 'plain',
  TYPE: 'type',
  ACQUIRE: 'acquire',
  FULL: 'full',
  CIRCUIT: 'circuit',
  BUDGET: 'budget',
  NO_RETRY: 'noRetry',
};

/** Reasons of errors of kind `plain`, where they have one. */
const REASONS = {
  LOST: 'lost',
  ENDED: 'ended',
  CONNECT_TIMEOUT: 'connectTimeout',
  QUERY_TIMEOUT: 'queryTimeout',
  WITHDRAWN: 'withdrawn',
  APPLICATION: 'application',
};

/** Reasons of kind `noRetry`. */
const NO_RETRY = {
  FINAL: 'final',
  AMBIGUOUS: 'ambiguous',
  OFF: 'off',
  ATTEMPTS: 'attempts',
  DEADLINE: 'deadline',
  BUDGET: 'budget',
};

/** Stages of a failed run that `decideRetry` asks about. */
const STAGES = {
  OPEN: 'open',
  ABORTED: 'aborted',
  ASKING: 'asking',
  UNKNOWN: 'unknown',
  STATEMENT: 'statement',
};

/** Reasons of CLOSED. */
const CLOSE_REASONS = {
  RELEASED: 'released',
  IDLE: 'idle',
  LIFETIME: 'lifetime',
  USES: 'uses',
  BROKEN: 'broken',
  UNRESPONSIVE: 'unresponsive',
  LEAK: 'leak',
  YIELDED: 'yielded',
  RETIRED: 'retired',
  DRAINED: 'drained',
};

module.exports = {
  RECORDS,
  RECORD,
  ROWS,
  ROWS_FLAGS,
  RAW_FLAGS,
  REQUEST,
  REQUEST_FLAGS,
  RETRY_OPTIONS,
  SLOTS,
  TEXT_SLOT,
  NUMBER_SLOT,
  ERROR_KINDS,
  REASONS,
  NO_RETRY,
  STAGES,
  CLOSE_REASONS,
};
