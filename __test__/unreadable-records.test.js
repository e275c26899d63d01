'use strict';

// Records that cannot be read: each fails the request or closes the connection that it is of, and those behind it are
// read. The core is a stand-in that hands out records as a test writes them.

const { Bridge } = require('../lib/native/bridge');
const { RECORD, RECORDS, ROWS } = require('../lib/native/layout');

/** A record, as the core lays it out. */
function record(kind, id, argument, payload = Buffer.alloc(0)) {
  const length = (RECORD.HEADER * 4 + payload.length + 7) & ~7;
  const bytes = Buffer.alloc(length);
  [length, kind, id, argument].forEach((word, i) => bytes.writeUInt32LE(word, i * 4));
  payload.copy(bytes, RECORD.HEADER * 4);
  return bytes;
}

const text = (kind, id, json) => record(kind, id, Buffer.byteLength(json), Buffer.from(json));

/** A bridge whose core has these records, one per `take`. */
function bridgeOf(records) {
  class Native {
    attach() {}
    take(into) {
      if (records.length === 0) return 0;
      if (records[0].length > into.length) return -records[0].length;
      return records.shift().copy(into);
    }
    skip(into) {
      records.shift().copy(into, 0, 0, RECORD.HEADER * 4);
    }
    ref() {}
    unref() {}
  }
  const bridge = new Bridge({ Bridge: Native });
  return { bridge, wake: () => bridge.drain() };
}

function request() {
  const heard = [];
  const hear =
    (name) =>
    (...given) =>
      heard.push([name, ...given]);
  return {
    heard,
    takeFailure: hear('failure'),
    takeDone: hear('done'),
    takeRows: hear('rows'),
    takeCommand: hear('command'),
    failAtEnd: hear('failAtEnd'),
  };
}

let warnings;
let uncaught;
const catchIt = (error) => uncaught.push(error);
beforeEach(() => {
  [warnings, uncaught] = [[], []];
  jest.spyOn(process, 'emitWarning').mockImplementation((text) => warnings.push(text));
  process.on('uncaughtException', catchIt);
});
afterEach(() => {
  jest.restoreAllMocks();
  process.off('uncaughtException', catchIt);
  expect(uncaught).toEqual([]);
});

const UNREADABLE = expect.stringMatching(/^an answer of the server could not be read: /);

test('a failure that cannot be read fails its request all the same', () => {
  const records = [];
  const { bridge, wake } = bridgeOf(records);
  const [first, second] = [request(), request()];
  const ids = [bridge.register(first), bridge.register(second)];
  records.push(text(RECORDS.FAIL, ids[0], '{"kind":'), record(RECORDS.DONE, ids[1], 73));
  wake();
  expect(first.heard).toEqual([['failure', { kind: 'plain', message: UNREADABLE }, 0]]);
  expect(second.heard).toEqual([['done', 73]]);
});

test('rows whose columns could not be read fail their request at its end', () => {
  const records = [];
  const { bridge, wake } = bridgeOf(records);
  const asked = request();
  const id = bridge.register(asked);
  const rows = Buffer.alloc((ROWS.HEADER - RECORD.HEADER) * 4);
  records.push(text(RECORDS.SHAPE, 7, '['), record(RECORDS.ROWS, id, 7, rows), record(RECORDS.DONE, id, 73));
  wake();
  expect(asked.heard).toEqual([
    ['failAtEnd', expect.objectContaining({ message: UNREADABLE })],
    ['done', 73],
  ]);
  expect(warnings).toEqual([UNREADABLE]);
});

test('a record for which there is no memory is left out, and those behind it are read', () => {
  const records = [];
  const { bridge, wake } = bridgeOf(records);
  const [first, second] = [request(), request()];
  const ids = [bridge.register(first), bridge.register(second)];
  const large = record(RECORDS.ROWS, ids[0], 7, Buffer.alloc(1024 * 1024));
  records.push(large, record(RECORDS.DONE, ids[0], 73), record(RECORDS.DONE, ids[1], 73));
  const { ArrayBuffer } = globalThis;
  globalThis.ArrayBuffer = class {
    constructor() {
      throw new RangeError('Array buffer allocation failed');
    }
  };
  try {
    wake();
  } finally {
    globalThis.ArrayBuffer = ArrayBuffer;
  }
  expect(first.heard.map(([name]) => name)).toEqual(['failAtEnd', 'done']);
  expect(second.heard).toEqual([['done', 73]]);
});

test('a connection whose end cannot be read is closed', () => {
  const records = [];
  const { bridge, wake } = bridgeOf(records);
  const told = [];
  const delegate = { opened() {}, closed: (connection, info) => told.push(info) };
  bridge.openPool.call(Object.assign(bridge, { newPool: () => ({}) }), delegate, {});
  records.push(
    text(RECORDS.OPENED, 5, JSON.stringify({ pool: delegate.number })),
    text(RECORDS.CLOSED, 5, '{'),
  );
  wake();
  expect(told).toEqual([{ reason: 'broken', error: { kind: 'plain', message: UNREADABLE }, idle: false }]);
  expect(bridge.connections.size).toBe(0);
});
