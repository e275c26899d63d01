'use strict';

// The short form of the attack by a server; the seed of a failure is in its name. By hand, longer:
//   HOSTILE_SECONDS=600 HOSTILE_SEED=7 npx jest __test__/faults/hostile

const { attacked, seeds, seconds } = require('./hostile-attack');

test.each(seeds)(
  'whatever a server sends with seed %i, nobody is told what another connection was, and the process lives',
  async (seed) => {
    const { answers, calls, seen, ...found } = await attacked('server', seed);
    expect(found).toEqual({ seed, seconds, leaks: [], hung: [], uncaught: [] });
    expect(Math.min(answers, calls)).toBeGreaterThan(30);
    expect(seen).toBeGreaterThan(100);
  },
);
