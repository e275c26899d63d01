'use strict';

// The short form of the attack by values; the seed of a failure is in its name. By hand, longer:
//   HOSTILE_SECONDS=600 HOSTILE_SEED=7 npx jest __test__/faults/hostile

const { attacked, seeds, seconds } = require('./hostile-attack');

test.each(seeds)(
  'whatever values do with seed %i, each query gets its own answer, and the process lives',
  async (seed) => {
    const { answered, calls, ...found } = await attacked('values', seed);
    expect(found).toEqual({ seed, seconds, wrong: [], hung: [], uncaught: [] });
    expect(answered).toBeGreaterThan(10);
    expect(calls).toBeGreaterThan(answered);
  },
);
