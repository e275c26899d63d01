// One line a second: how the load fares on each application. On a terminal the
// line is rewritten in place; elsewhere it is printed now and then, so that a
// log stays short.

'use strict';

const EVERY = 1000;
const LINES_APART = 30;

const millis = (value) => (value === null ? 'none' : `${value.toFixed(1)} ms`);

// `samples`: the counts of each application, those of a second before them.
function format(applications) {
  return applications
    .map(({ name, seconds }) => {
      const [before, now] = [seconds.at(-2), seconds.at(-1)];
      if (!now) return `${name}: no requests yet`;
      const rate = now.readers.answered - (before ? before.readers.answered : 0);
      return `${name}: ${rate} req/s, p95 ${millis(now.readers.p95)}, ${now.readers.failed} failed`;
    })
    .join(' | ');
}

// Samples the applications each second. `say` writes a line of its own.
function startStatusLine(applications, out = process.stdout) {
  let ticks = 0;
  const clear = () => out.isTTY && out.write('\r\x1b[K');
  const timer = setInterval(() => {
    const now = Date.now();
    for (const application of applications) application.sample(now);
    const line = format(applications);
    if (out.isTTY) out.write(`\r\x1b[K${line.slice(0, out.columns - 1)}`);
    else if (ticks++ % LINES_APART === 0) out.write(`${line}\n`);
  }, EVERY);
  return {
    say: (line) => {
      clear();
      out.write(`${line}\n`);
    },
    stop: () => {
      clearInterval(timer);
      if (out.isTTY) out.write('\n');
    },
  };
}

module.exports = { format, startStatusLine };
