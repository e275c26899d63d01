'use strict';

// What the application was told of its writes against what the server holds of them.

const CREATE = `
  CREATE TABLE bad_day (key text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
  CREATE INDEX ON bad_day (key);
  GRANT ALL ON bad_day TO PUBLIC`;

// No key is unique to the server: a write that happens twice is to be seen.
const TEXTS = {
  read: 'SELECT at FROM bad_day WHERE key = $1',
  // Slow, so that each of several asks for a connection of its own.
  warm: 'SELECT $1::text AS key, pg_sleep(0.2)',
  insert: 'INSERT INTO bad_day (key) VALUES ($1)',
};

/** How often each key that begins with `prefix` is there. `query` runs a statement on the server. */
async function readTable(query, prefix) {
  const text = 'SELECT key, count(*)::int AS times FROM bad_day WHERE starts_with(key, $1) GROUP BY key';
  const { rows } = await query(text, [prefix]);
  return new Map(rows.map(({ key, times }) => [key, times]));
}

/**
 * @param records of the load
 * @param {Map<string, number>} times of `readTable`
 * @returns {{ ambiguous: number, doubled: number, lost: number, misreported: number }} `ambiguous`: failed
 *   writes that were told as such; `lost`: acknowledged and not there; `misreported`: there, though the error
 *   said that it was never sent or was rejected
 */
function audit(records, times) {
  const count = { ambiguous: 0, doubled: 0, lost: 0, misreported: 0 };
  for (const { kind, key, told } of records) {
    if (kind !== 'insert') continue;
    const there = times.get(key) ?? 0;
    if (told === 'ambiguous') count.ambiguous += 1;
    if (there > 1) count.doubled += 1;
    if (told === 'done' && there === 0) count.lost += 1;
    if ((told === 'unsent' || told === 'rejected') && there > 0) count.misreported += 1;
  }
  return count;
}

module.exports = { CREATE, TEXTS, audit, readTable };
