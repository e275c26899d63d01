'use strict';

// The short form of the monkey; the seed of a failure is in its name. By hand, longer:
//   MONKEY_SECONDS=600 MONKEY_SEED=7 npx jest __test__/faults/monkey

const { admin, config } = require('../support/server');
const { until } = require('../support/until');
const { Monkey } = require('./monkey');
const { sockets, socketsBackTo, watchUncaught } = require('./trial');

const seconds = Number(process.env.MONKEY_SECONDS) || 2;
const seeds = process.env.MONKEY_SEED ? [Number(process.env.MONKEY_SEED)] : [1, 2, 3];

test.each(seeds)(
  'whatever a monkey does with seed %i, every call settles, the pool serves on, and nothing is left behind',
  async (seed) => {
    const before = sockets();
    const uncaught = watchUncaught();
    const monkey = new Monkey(seed, config());
    const end = Date.now() + seconds * 1000;
    await monkey.play(() => Date.now() > end);
    uncaught.stop();
    expect(uncaught.seen).toEqual([]);
    expect(monkey.hung).toEqual([]);
    expect(monkey.calls).toBeGreaterThan(12);
    const sessions = async () =>
      (await admin('SELECT pid FROM pg_stat_activity WHERE application_name = $1', [monkey.name])).rowCount;
    await until(async () => (await sessions()) === 0, {
      what: 'the server to have no session of the monkey',
    });
    await socketsBackTo(before);
  },
  seconds * 1000 + 120_000,
);
