'use strict';

// How late the JavaScript thread is, so that a thread that stalls is not blamed on the pool. One histogram
// serves all monitors of the thread; each takes its own share by reading, the last to leave stops it.

const { monitorEventLoopDelay } = require('node:perf_hooks');

const RESOLUTION_MILLIS = 20;

let histogram = null;
let users = 0;
let last = null;

/** Begins measuring; `done` ends it. */
function measureDelay() {
  if (users++ === 0) {
    histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MILLIS });
    histogram.enable();
  }
  let open = true;
  return {
    /** p99 of the delay since anybody asked last, in milliseconds; null before the first sample. */
    p99: takeDelay,
    done() {
      if (!open) return;
      open = false;
      if (--users > 0) return;
      histogram.disable();
      histogram = null;
      last = null;
    },
  };
}

function takeDelay() {
  if (histogram === null) return null;
  // Node counts the pause between two samples, of which the resolution is no delay.
  if (histogram.count > 0) last = Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MILLIS);
  histogram.reset();
  return last;
}

module.exports = { measureDelay };
