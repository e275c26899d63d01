'use strict';

// What the page says first, on a clock that the test moves.

const { Trouble } = require('../../lib/monitor/incident');

const NOTHING = {
  connectFailures: 0,
  breakerRejected: 0,
  retries: 0,
  retriesDenied: 0,
  timeouts: 0,
  failovers: 0,
  opened: 1,
};
const CALM = { name: 'a', breaker: 'closed', breakerStops: true, lastConnectError: null, ...NOTHING };
const quiet = { changes: [], firing: [], values: {} };

const alert = (turn) => ({
  rule: 'acquire',
  turn,
  since: 1000,
  threshold: 5000,
  unit: 'ms',
  causes: [{ kind: 'breaker', text: 'the circuit breaker is open' }],
});

test('an outage has a beginning, a reason, deeds and an end', () => {
  const trouble = new Trouble();
  trouble.look(CALM, quiet, [], 0);
  expect(trouble.state()).toEqual({ trouble: null, recovered: null });
  const out = {
    ...CALM,
    breaker: 'open',
    lastConnectError: 'connect ECONNREFUSED',
    connectFailures: 5,
    breakerRejected: 7,
  };
  trouble.look(
    out,
    quiet,
    [{ target: 'breaker', event: 'open', pool: 'a', at: 2000, fields: { nextProbeMillis: 5000 } }],
    2000,
  );
  trouble.look({ ...out, connectFailures: 6 }, quiet, [], 4000);
  expect(trouble.state().trouble).toMatchObject({
    since: 2000,
    back: null,
    breaker: 'open',
    nextProbe: 7000,
    connectError: 'connect ECONNREFUSED',
    did: { connectFailures: 6, breakerRejected: 7, opened: 0 },
  });
  trouble.look({ ...CALM, connectFailures: 6, breakerRejected: 7, opened: 2 }, quiet, [], 9000);
  expect(trouble.state()).toMatchObject({
    trouble: null,
    recovered: {
      since: 2000,
      at: 9000,
      connectError: 'connect ECONNREFUSED',
      did: { connectFailures: 6, opened: 1 },
    },
  });
});

test('a pool works again although its alert takes its time to clear', () => {
  const trouble = new Trouble();
  trouble.look(CALM, quiet, [], 0);
  const firing = { changes: [alert('fired')], firing: ['acquire'], values: { acquire: 6000 } };
  trouble.look({ ...CALM, lastConnectError: 'refused' }, firing, [], 3000);
  expect(trouble.state().trouble).toMatchObject({
    since: 1000,
    back: null,
    alerts: [
      { rule: 'acquire', value: 6000, threshold: 5000, since: 1000, causes: ['the circuit breaker is open'] },
    ],
  });
  const still = { changes: [], firing: ['acquire'], values: { acquire: 0 } };
  trouble.look(CALM, still, [], 5000);
  trouble.look(CALM, still, [], 7000);
  expect(trouble.state().trouble).toMatchObject({ back: 5000 });
  trouble.look(CALM, { changes: [alert('cleared')], firing: [], values: {} }, [], 9000);
  expect(trouble.state()).toMatchObject({
    trouble: null,
    recovered: { since: 1000, at: 5000, rules: ['acquire'] },
  });
});

test('a breaker that only tells is no trouble', () => {
  const trouble = new Trouble();
  trouble.look({ ...CALM, breaker: 'open', breakerStops: false }, quiet, [], 0);
  expect(trouble.state().trouble).toBeNull();
});
