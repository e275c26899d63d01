// Order statistics and paired ratios. A ratio is taken within one round, where
// both contenders met the same machine, and only then summarised: the ratio of
// two medians would hide how far a single round can stray.
'use strict';

// Linear interpolation between the two neighbours; `sorted` is ascending.
function quantileOfSorted(sorted, fraction) {
  if (sorted.length === 0) return NaN;
  const position = (sorted.length - 1) * fraction;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

function quantile(values, fraction) {
  return quantileOfSorted(Float64Array.from(values).sort(), fraction);
}

function median(values) {
  return quantile(values, 0.5);
}

function summary(values) {
  const sorted = Float64Array.from(values.filter((value) => Number.isFinite(value))).sort();
  if (sorted.length === 0) return null;
  return {
    median: quantileOfSorted(sorted, 0.5),
    min: sorted[0],
    max: sorted[sorted.length - 1],
    rounds: sorted.length,
  };
}

// `values` and `reference` map a round to its figure; rounds that only one
// of them has are left out.
function pairedRatio(values, reference) {
  const ratios = [];
  for (const [round, value] of values) {
    const base = reference.get(round);
    if (base !== undefined && base !== 0) ratios.push(value / base);
  }
  return summary(ratios);
}

// A small seeded generator (mulberry32), so that every contender of a round
// asks for the same keys and a run can be repeated.
function randomFrom(seed) {
  let state = seed >>> 0;
  return function next() {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(items, random) {
  const order = items.slice();
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

module.exports = { quantile, quantileOfSorted, median, summary, pairedRatio, randomFrom, shuffled };
