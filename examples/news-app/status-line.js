// One line a second: what each pool is doing and how the load fares. On a
// terminal the line is rewritten in place; elsewhere it is printed every few
// seconds, so that a log stays short.

'use strict';

const { pools } = require('./db-utils');

const EVERY = 1000;
const LINES_APART = 5;

const SHORT = { highPriority: 'high', lowPriority: 'low', admin: 'admin' };

function format(counts, sample, seconds) {
  const tiers = Object.entries(counts).map(
    ([tier, { total, idle, waiting }]) =>
      `${SHORT[tier]} ${total - idle} busy ${idle} idle ${waiting} waiting`,
  );
  if (sample) {
    const rate = Math.round(sample.requests / seconds);
    tiers.push(
      `${rate} req/s  p50 ${sample.p50.toFixed(1)} ms  p95 ${sample.p95.toFixed(1)} ms  ${sample.errors} errors`,
    );
  }
  return tiers.join(' | ');
}

// `take` returns what the load did since it was last asked, or is null.
function startStatusLine(take, out = process.stdout) {
  const every = out.isTTY ? EVERY : EVERY * LINES_APART;
  let since = process.hrtime.bigint();
  const timer = setInterval(() => {
    const now = process.hrtime.bigint();
    const line = format(pools.counts(), take && take(), Number(now - since) / 1e9);
    since = now;
    out.write(out.isTTY ? `\r\x1b[K${line.slice(0, out.columns - 1)}` : `${line}\n`);
  }, every);
  return () => {
    clearInterval(timer);
    if (out.isTTY) out.write('\n');
  };
}

module.exports = { format, startStatusLine };
