// One measurement inside a contender's process: warm up, then let the callers
// run for the given time and account for every call. Runs alone in its process
// and touches nothing else while the clock is on.
'use strict';

const { performance } = require('node:perf_hooks');
const { processorTime } = require('./processor-time');
const { quantileOfSorted } = require('./statistics');
const { operationOf } = require('./workload');

const TIMER_INTERVAL = 1;

// Durations of one measurement, in an array that is there before it begins.
function createRecorder() {
  let values = new Float64Array(1 << 16);
  let length = 0;
  return {
    record(value) {
      if (length === values.length) {
        const larger = new Float64Array(length * 2);
        larger.set(values);
        values = larger;
      }
      values[length++] = value;
    },
    sorted: () => values.slice(0, length).sort(),
  };
}

// Each caller begins its next call when the last one is answered.
async function drive(operation, callers, seconds, record) {
  const end = performance.now() + seconds * 1_000;
  async function caller() {
    let started = performance.now();
    while (started < end) {
      await operation();
      const finished = performance.now();
      record(finished - started);
      started = finished;
    }
  }
  await Promise.all(Array.from({ length: callers }, caller));
}

// All callers at once, then wait for all: how long results that arrive together
// take. At least two batches, however long one of them is.
async function driveBatches(operation, callers, seconds, record) {
  const end = performance.now() + seconds * 1_000;
  for (let batch = 0; batch < 2 || performance.now() < end; batch++) {
    const started = performance.now();
    await Promise.all(Array.from({ length: callers }, operation));
    record(performance.now() - started);
  }
}

// How much later than asked a timer of 1 ms fires, again and again. Stopping
// waits for the tick that is due, since the last one may be the latest.
function sampleTimer(record) {
  let stopped;
  let last = performance.now();
  function tick() {
    const now = performance.now();
    record(Math.max(0, now - last - TIMER_INTERVAL));
    last = now;
    if (stopped) stopped();
    else setTimeout(tick, TIMER_INTERVAL);
  }
  setTimeout(tick, TIMER_INTERVAL);
  return () =>
    new Promise((resolve) => {
      stopped = resolve;
    });
}

async function measure(adapter, config, scenario, { seconds, warmup, seed }) {
  const run = scenario.samplesTimer ? driveBatches : drive;
  await adapter.open(config, scenario.pool);
  try {
    const operation = operationOf(scenario, adapter, config, seed);
    await drive(operation, scenario.callers, warmup, () => {});
    if (globalThis.gc) globalThis.gc();

    const calls = createRecorder();
    const lags = createRecorder();
    const stopTimer = scenario.samplesTimer ? sampleTimer(lags.record) : undefined;
    const before = processorTime();
    const started = performance.now();
    await run(operation, scenario.callers, seconds, calls.record);
    const elapsed = performance.now() - started;
    const after = processorTime();
    if (stopTimer) await stopTimer();
    return figures(scenario, calls.sorted(), lags.sorted(), elapsed, before, after);
  } finally {
    await adapter.close();
  }
}

function figures(scenario, durations, lags, elapsed, before, after) {
  const operations = durations.length * (scenario.samplesTimer ? scenario.callers : 1);
  const result = {
    operations,
    throughput: operations / (elapsed / 1_000),
    p50: quantileOfSorted(durations, 0.5),
    p99: quantileOfSorted(durations, 0.99),
    processCpu: (after.process - before.process) / operations,
    threadCpu: (after.thread - before.thread) / operations,
  };
  if (scenario.samplesTimer) {
    result.lagP99 = quantileOfSorted(lags, 0.99);
    result.lagMax = lags[lags.length - 1];
    result.lagSamples = lags.length;
  }
  return result;
}

module.exports = { measure };
