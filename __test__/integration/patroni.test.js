'use strict';

// The leader of a Patroni cluster in synchronous mode is killed, replaced by wish, frozen and cut off while fifty writers
// write. Takes ten minutes and programs that are not this package's, so it runs only where it is asked for:
//
//   PATRONI=on npx jest __test__/integration/patroni.test.js

const { ClusterRun } = require('../../bench/failover/cluster-run');
const { FAULTS } = require('../../bench/failover/faults');
const { patroniPrograms } = require('../support/patroni/programs');

const ROUNDS = 3;
const WRITERS = 50;
const START = 180_000;
const MOST_MILLIS = 180_000 * ROUNDS;

const isAskedFor = Boolean(process.env.PATRONI || process.env.PATRONI_COMMAND);
const { programs, missing } = isAskedFor ? patroniPrograms() : { missing: ['PATRONI=on'] };
if (missing.length > 0) process.stderr.write(`skipped: Patroni: missing: ${missing.join('; ')}\n`);

const available = missing.length === 0 ? describe : describe.skip;

available('under Patroni', () => {
  let cluster;

  beforeAll(async () => {
    cluster = await ClusterRun.start(programs);
  }, START);

  afterAll(() => cluster?.stop());

  test.each(FAULTS)(
    '$name: each acknowledged write is there once, and each is settled and told as it was',
    async ({ name }) => {
      for (let round = 1; round <= ROUNDS; round++) {
        const terms = { contenders: ['getPool()'], writers: WRITERS };
        const { cells } = await cluster.round({ fault: name, prefix: `${name}:${round}`, ...terms });
        const [{ behind, acknowledged, lost, doubled, misreported, hung }] = cells;
        expect({ lost, doubled, misreported, hung }).toEqual({
          lost: 0,
          doubled: 0,
          misreported: 0,
          hung: 0,
        });
        expect(acknowledged).toBeGreaterThan(0);
        process.stderr.write(
          `${name} ${round}: first write ${Math.round(behind)} ms after the leader's first\n`,
        );
      }
    },
    MOST_MILLIS,
  );
});
