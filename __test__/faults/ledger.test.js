'use strict';

// A storm of a minute. `STORM_SECONDS` and `STORM_SEED` make it longer or repeat one; the seed is in the name of
// the test. The long form is `npm run soak`.

const { Pool } = require('../..');
const { Ledger } = require('./ledger');
const { Storm, complaints } = require('./storm');

const seconds = Number(process.env.STORM_SECONDS || 60);
const seed = Number(process.env.STORM_SEED || 1);
const MEGABYTE = 2 ** 20;
const linux = process.platform === 'linux' ? test : test.skip;

test('the ledger notices what is lost, doubled, risen from the dead, torn or strange', async () => {
  const ledger = new Ledger();
  const [kept, unknown, lost, doubled, risen, half] = ['w.0', 'w.1', 'w.2', 'w.3', 'v.0', 'v.7'];
  for (const key of [kept, unknown, lost, doubled, risen]) ledger.begin([key]);
  for (const key of [kept, lost, doubled]) ledger.settle([key], 'acknowledged');
  ledger.settle([unknown], 'unknown');
  ledger.settle([risen], 'aborted');
  ledger.begin([half, `${half}+`]);
  ledger.settle([half, `${half}+`], 'unknown');
  const held = { [kept]: 1, [unknown]: 1, [doubled]: 2, [risen]: 1, [half]: 1, 'u.1': 1 };
  const audit = await ledger.audit(async () => ({
    rows: Object.entries(held).map(([key, times]) => ({ key, times })),
  }));
  expect(audit).toMatchObject({
    lost: [lost],
    doubled: [doubled],
    risen: [risen],
    torn: [`${half}+`],
    strange: ['u.1'],
  });
  expect(audit.counts).toEqual({ acknowledged: 3, aborted: 1, unknown: 3, pending: 0 });
});

linux(
  `after ${seconds} s of faults (seed ${seed}) every write is there as often as it was acknowledged`,
  async () => {
    // A storm that met nothing, or let nothing through, has shown nothing. On a busy machine it has to last longer.
    const least = { acknowledged: 101, unknown: 1 };
    const report = await new Storm({ Pool, seed, seconds, every: 600, least }).run();
    expect(complaints(report, 150 * MEGABYTE)).toEqual({});
    expect(Object.keys(report.faults).length).toBeGreaterThan(3);
  },
  (seconds + 900) * 1000,
);
