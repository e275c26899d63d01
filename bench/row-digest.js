// One hash for what a contender returned, equal exactly when the rows are equal
// in order, column names, values and JavaScript types. Dates are tagged, so that
// a text that looks like a date is not taken for one.
'use strict';

const crypto = require('node:crypto');

function canonical(value) {
  if (value === undefined) return { $undefined: true };
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $number: String(value) };
  if (typeof value === 'bigint') return { $bigint: String(value) };
  if (value instanceof Date) return { $date: value.getTime() };
  if (ArrayBuffer.isView(value))
    return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') };
  if (Array.isArray(value)) return value.map(canonical);
  const sorted = {};
  for (const name of Object.keys(value).sort()) sorted[name] = canonical(value[name]);
  return sorted;
}

// `Array.from` drops what a driver hangs on its row array beside the rows.
function canonicalRows(rows) {
  return Array.from(rows, (row) => JSON.stringify(canonical({ ...row })));
}

function digest(rows) {
  const texts = canonicalRows(rows);
  const hash = crypto.createHash('sha256').update(texts.join('\n')).digest('hex').slice(0, 16);
  return { hash, count: texts.length, texts };
}

module.exports = { digest };
