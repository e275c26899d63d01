'use strict';

// What the caller of one query says about running it again, as it goes to the core between the name and
// the parameters of a request: deadline, retries, base of the delays, number of codes as 32-bit words, then
// eight bytes for each code.

/** The flag of a request that has wishes. */
const WISHES = 256;

const UNSAID = 0xffffffff;
const MAX_MILLIS = 0x7fffffff;
const SQLSTATE = /^[0-9A-Z]{5}$/;

/** The wishes in a query's config; undefined when there are none. */
function wishesOf(config) {
  const { deadline, retryOn } = config;
  const retryAttempts = config.retryAttempts ?? config.maxRetries;
  const retryDelay = config.retryDelay ?? config.baseDelay;
  if (deadline == null && retryOn == null && retryAttempts == null && retryDelay == null) return undefined;
  return { deadline, retryAttempts, retryDelay, retryOn };
}

/** The error of wishes that make no sense. */
function misuseOf({ deadline, retryAttempts, retryDelay, retryOn }) {
  for (const [name, value] of Object.entries({ deadline, retryAttempts, retryDelay })) {
    if (value == null) continue;
    if (typeof value !== 'number' || !(value >= 0 && value <= MAX_MILLIS)) {
      return new TypeError(`${name} must be a number from 0 to ${MAX_MILLIS}`);
    }
  }
  if (retryOn == null) return undefined;
  if (Array.isArray(retryOn) && retryOn.every((code) => SQLSTATE.test(code))) return undefined;
  return new TypeError('retryOn must be an array of SQLSTATE codes');
}

/** The wishes as bytes. */
function bytesOf({ deadline, retryAttempts, retryDelay, retryOn }) {
  const codes = retryOn ?? [];
  const bytes = Buffer.alloc(16 + codes.length * 8);
  const words = [deadline === 0 ? undefined : deadline, retryAttempts, retryDelay];
  words.forEach((word, index) => bytes.writeUInt32LE(word == null ? UNSAID : Math.round(word), index * 4));
  bytes.writeUInt32LE(codes.length, 12);
  codes.forEach((code, index) => bytes.write(code, 16 + index * 8, 'latin1'));
  return bytes;
}

module.exports = { WISHES, wishesOf, misuseOf, bytesOf };
