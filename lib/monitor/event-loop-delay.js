'use strict';

// Delay of the JavaScript thread, so that a busy thread is not blamed on the pool. One histogram serves all monitors
// of the thread; the last monitor that stops ends it.

const { monitorEventLoopDelay } = require('node:perf_hooks');

const RESOLUTION_MILLIS = 20;

let histogram = null;
let users = 0;
let last = null;

/** Starts measuring; `done` ends it. */
function measureDelay() {
  if (users++ === 0) {
    histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MILLIS });
    histogram.enable();
  }
  let open = true;
  return {
    /** p99 of the delay since the last call by any monitor, in milliseconds; null before the first sample. */
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
  // Node measures the whole time between two samples; the resolution is the part that was planned.
  if (histogram.count > 0) last = Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MILLIS);
  histogram.reset();
  return last;
}

module.exports = { measureDelay };
