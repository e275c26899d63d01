// What pgpool-rs must reach against pg in the same run. Each target is a bound
// on the median of the paired ratios; the range beside it tells how sure it is.
'use strict';

const TARGETS = [
  { scenario: 'lookup-1', metric: 'p50', atMost: 0.8, title: 'lookup latency, 1 caller' },
  { scenario: 'lookup-10', metric: 'throughput', atLeast: 1.5, title: 'lookup throughput, 10 callers' },
  { scenario: 'lookup-10', metric: 'threadCpu', atMost: 0.45, title: 'lookup JS thread CPU, 10 callers' },
  { scenario: 'lookup-100', metric: 'throughput', atLeast: 1.5, title: 'lookup throughput, 100 callers' },
  { scenario: 'lookup-100', metric: 'threadCpu', atMost: 0.45, title: 'lookup JS thread CPU, 100 callers' },
  { scenario: 'rows-1', metric: 'throughput', atLeast: 2, title: '1,000 x 10 rows, one after the other' },
  { scenario: 'rows-4', metric: 'throughput', atLeast: 2, title: '1,000 x 10 rows, 4 callers' },
  { scenario: 'copy-in', metric: 'throughput', atLeast: 1, title: 'COPY of 100,000 rows in' },
  { scenario: 'copy-out', metric: 'throughput', atLeast: 1, title: 'COPY of 100,000 rows out' },
  {
    scenario: 'query-stream',
    metric: 'throughput',
    atLeast: 1,
    title: '100,000 rows through pg-query-stream',
  },
  { scenario: 'stream', metric: 'throughput', atLeast: 1, title: '100,000 rows through pool.stream' },
  { scenario: 'delay', metric: 'lagP99', atMost: 0.2, title: 'timer lag p99 under large results' },
];

// `ratioOf(scenario, metric)` gives a summary of ratios, or nothing when it was
// not measured in this run.
function judge(ratioOf) {
  const judged = [];
  for (const target of TARGETS) {
    const ratio = ratioOf(target.scenario, target.metric);
    if (!ratio) continue;
    const met = target.atMost !== undefined ? ratio.median <= target.atMost : ratio.median >= target.atLeast;
    const bound = target.atMost !== undefined ? `at most ${target.atMost}` : `at least ${target.atLeast}`;
    judged.push({ title: target.title, bound, ratio, met });
  }
  return judged;
}

module.exports = { judge };
