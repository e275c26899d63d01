'use strict';

// Builders for what a PostgreSQL server sends, byte by byte as the protocol says. Each returns a
// Buffer; a scripted server sends them in any order, right or wrong.

const TEXT = { int4: 23, text: 25 };

function message(type, ...parts) {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(5);
  header.write(type, 0, 'latin1');
  header.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** A message whose length field says something else than the truth. */
function lyingMessage(type, length, body = Buffer.alloc(0)) {
  const bytes = message(type, body);
  bytes.writeInt32BE(length, 1);
  return bytes;
}

const int16 = (value) => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const int32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
};
const cstring = (text) => Buffer.from(`${text}\0`);

const authentication = (code, ...rest) => message('R', int32(code), ...rest);
const authenticationOk = () => authentication(0);
const authenticationCleartextPassword = () => authentication(3);
const authenticationMD5Password = (salt = Buffer.from([1, 2, 3, 4])) => authentication(5, salt);
const authenticationSASL = (mechanisms = ['SCRAM-SHA-256']) =>
  authentication(10, ...mechanisms.map(cstring), Buffer.from([0]));
const authenticationSASLContinue = (text) => authentication(11, Buffer.from(text));
const authenticationSASLFinal = (text) => authentication(12, Buffer.from(text));

const parameterStatus = (name, value) => message('S', cstring(name), cstring(value));
const backendKeyData = (processId = 4711, secret = 42) =>
  message('K', int32(processId), Buffer.isBuffer(secret) ? secret : int32(secret));
/** @param {'I'|'T'|'E'} status */
const readyForQuery = (status = 'I') => message('Z', Buffer.from(status));
const negotiateProtocolVersion = (minor = 0, unknown = []) =>
  message('v', int32(minor), int32(unknown.length), ...unknown.map(cstring));

/** @param {Array<string | { name: string, type?: number, format?: number }>} fields a string is a text column */
function rowDescription(fields) {
  const columns = fields.map((field) => {
    const {
      name,
      type = TEXT.text,
      table = 0,
      column = 0,
      size = -1,
      modifier = -1,
      format = 0,
    } = typeof field === 'string' ? { name: field } : field;
    return Buffer.concat([
      cstring(name),
      int32(table),
      int16(column),
      int32(type),
      int16(size),
      int32(modifier),
      int16(format),
    ]);
  });
  return message('T', int16(columns.length), ...columns);
}

/** @param {Array<string | Buffer | null>} values */
function dataRow(values) {
  const fields = values.map((value) => {
    if (value === null) return int32(-1);
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value));
    return Buffer.concat([int32(bytes.length), bytes]);
  });
  return message('D', int16(values.length), ...fields);
}

const commandComplete = (tag) => message('C', cstring(tag));
const emptyQueryResponse = () => message('I');
const parseComplete = () => message('1');
const bindComplete = () => message('2');
const closeComplete = () => message('3');
const noData = () => message('n');
const portalSuspended = () => message('s');
const parameterDescription = (types = []) => message('t', int16(types.length), ...types.map(int32));

function fieldMessage(type, fields) {
  const parts = Object.entries(fields).map(([code, value]) => cstring(code + value));
  return message(type, ...parts, Buffer.from([0]));
}
/** @param {{ severity?: string, code?: string, message?: string, fields?: Record<string, string> }} [error] `fields` by their protocol letters */
const errorResponse = ({
  severity = 'ERROR',
  code = 'XX000',
  message: text = 'scripted error',
  fields,
} = {}) => fieldMessage('E', { S: severity, V: severity, C: code, M: text, ...fields });
const noticeResponse = ({
  severity = 'NOTICE',
  code = '00000',
  message: text = 'scripted notice',
  fields,
} = {}) => fieldMessage('N', { S: severity, V: severity, C: code, M: text, ...fields });
const notificationResponse = (channel, payload = '', processId = 4711) =>
  message('A', int32(processId), cstring(channel), cstring(payload));

const copyResponse =
  (type) =>
  (columns = 1, format = 0) =>
    message(type, Buffer.from([format]), int16(columns), ...Array(columns).fill(int16(format)));
const copyInResponse = copyResponse('G');
const copyOutResponse = copyResponse('H');
const copyData = (bytes) => message('d', Buffer.from(bytes));
const copyDone = () => message('c');

/** What a healthy server sends after a startup packet that needs no password. */
function greeting({ parameters = {}, processId, secret } = {}) {
  const all = {
    server_version: '18.0',
    server_encoding: 'UTF8',
    client_encoding: 'UTF8',
    DateStyle: 'ISO, MDY',
    TimeZone: 'UTC',
    integer_datetimes: 'on',
    standard_conforming_strings: 'on',
    ...parameters,
  };
  return Buffer.concat([
    authenticationOk(),
    ...Object.entries(all).map(([name, value]) => parameterStatus(name, value)),
    backendKeyData(processId, secret),
    readyForQuery(),
  ]);
}

/** A whole result of text columns, as the answer to a simple query. */
function simpleResult(fields, rows, tag = `SELECT ${rows.length}`) {
  return Buffer.concat([rowDescription(fields), ...rows.map(dataRow), commandComplete(tag), readyForQuery()]);
}

module.exports = {
  authentication,
  authenticationCleartextPassword,
  authenticationMD5Password,
  authenticationOk,
  authenticationSASL,
  authenticationSASLContinue,
  authenticationSASLFinal,
  backendKeyData,
  bindComplete,
  closeComplete,
  commandComplete,
  copyData,
  copyDone,
  copyInResponse,
  copyOutResponse,
  cstring,
  dataRow,
  emptyQueryResponse,
  errorResponse,
  greeting,
  int16,
  int32,
  lyingMessage,
  message,
  negotiateProtocolVersion,
  noData,
  noticeResponse,
  notificationResponse,
  parameterDescription,
  parameterStatus,
  parseComplete,
  portalSuspended,
  readyForQuery,
  rowDescription,
  simpleResult,
};
