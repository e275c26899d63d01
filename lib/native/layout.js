'use strict';

// The numbers that JavaScript shares with the Rust core: record kinds, flags, sizes. What they mean is
// described in docs/design/boundary.md.

/** The kinds of records in a frame. */
const RECORDS = {
  SHAPE: 1,
  ROWS: 2,
  COMMAND: 3,
  DONE: 4,
  FAIL: 5,
  LENT: 6,
  OPENED: 7,
  CLOSED: 8,
  EVENT: 9,
  ASK: 10,
  FORGET: 11,
  RESTART: 12,
  RAW: 13,
  SUSPENDED: 14,
  NOTE: 15,
  DIAL: 16,
  CARRY: 17,
  RESUME: 18,
  HANG_UP: 19,
  LOG: 20,
  LOGIN: 21,
  ADMIT: 22,
  REFUSED: 23,
  OVERDUE: 24,
};

/** Bytes of a record's header: length, kind with flags, id, argument. */
const RECORD_HEADER = 16;

/** Flags of a RAW record without bytes. */
const RAW_FLAGS = { BEGUN: 1, DRAINED: 2 };

/** Flags of a request, its first word. */
const REQUEST_FLAGS = {
  SIMPLE: 1,
  BINARY: 2,
  IDEMPOTENT: 4,
  READ_ONLY: 8,
  CANCELLABLE: 32,
  PAGED: 64,
  LIMITED: 128,
  WISHES: 256,
};

module.exports = { RECORDS, RECORD_HEADER, RAW_FLAGS, REQUEST_FLAGS };
