'use strict';

// Whether anything is measured at all: DB_MONITOR=off turns it off for the process, `monitor: false` for
// one pool. Then nothing is recorded beyond the counts that pg has.

/** Whether a pool with these options is measured. */
function isMonitored(options, env = process.env) {
  if (options && options.monitor === false) return false;
  return (
    String(env.DB_MONITOR || '')
      .trim()
      .toLowerCase() !== 'off'
  );
}

module.exports = { isMonitored };
