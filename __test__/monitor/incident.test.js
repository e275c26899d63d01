'use strict';

// The incident of a pool, on a clock that the test moves.

const { Incident } = require('../../lib/monitor/incident');

const NOTHING = {
  connectFailures: 0,
  breakerRejected: 0,
  retries: 0,
  retriesDenied: 0,
  timeouts: 0,
  failovers: 0,
  opened: 1,
};
const HOST = { host: 'db1:5432', state: 'closed', reason: null, nextProbe: null };
const CALM = {
  name: 'a',
  breaker: 'closed',
  breakerStops: true,
  breakers: [HOST],
  lastConnectError: null,
  ...NOTHING,
};
const quiet = { changes: [], firing: [], values: {} };

const alert = (turn) => ({
  rule: 'acquire',
  turn,
  since: 1000,
  threshold: 5000,
  unit: 'ms',
  causes: [{ kind: 'breaker', text: 'the circuit breaker is open' }],
});

test('an outage has a beginning, a reason, actions and an end', () => {
  const incident = new Incident();
  incident.sample(CALM, quiet, 0);
  expect(incident.state()).toEqual({ incident: null, recovered: null });
  const out = {
    ...CALM,
    breaker: 'open',
    breakers: [HOST, { ...HOST, state: 'open', reason: 'connect ECONNREFUSED', nextProbe: 7000 }],
    lastConnectError: 'connect ECONNREFUSED',
    connectFailures: 5,
    breakerRejected: 7,
  };
  incident.sample(out, quiet, 2000);
  incident.sample({ ...out, connectFailures: 6 }, quiet, 4000);
  expect(incident.state().incident).toMatchObject({
    since: 2000,
    workingSince: null,
    breaker: 'open',
    nextProbe: 7000,
    cause: { kind: 'server', text: 'connect ECONNREFUSED' },
    actions: { connectFailures: 6, breakerRejected: 7, opened: 0 },
  });
  incident.sample({ ...CALM, connectFailures: 6, breakerRejected: 7, opened: 2 }, quiet, 9000);
  expect(incident.state()).toMatchObject({
    incident: null,
    recovered: {
      since: 2000,
      endedAt: 9000,
      cause: { kind: 'server', text: 'connect ECONNREFUSED' },
      actions: { connectFailures: 6, opened: 1 },
    },
  });
});

test('a pool works again although its alert takes its time to clear', () => {
  const incident = new Incident();
  incident.sample(CALM, quiet, 0);
  const firing = { changes: [alert('fired')], firing: ['acquire'], values: { acquire: 6000 } };
  incident.sample({ ...CALM, lastConnectError: 'refused' }, firing, 3000);
  expect(incident.state().incident).toMatchObject({
    since: 1000,
    workingSince: null,
    cause: { kind: 'server', text: 'refused' },
    alerts: [{ rule: 'acquire', value: 6000, threshold: 5000, since: 1000 }],
  });
  const still = { changes: [], firing: ['acquire'], values: { acquire: 0 } };
  incident.sample(CALM, still, 5000);
  incident.sample(CALM, still, 7000);
  expect(incident.state().incident).toMatchObject({ workingSince: 5000, cause: { kind: 'server' } });
  incident.sample(CALM, { changes: [alert('cleared')], firing: [], values: {} }, 9000);
  expect(incident.state()).toMatchObject({
    incident: null,
    recovered: { since: 1000, endedAt: 5000, rules: ['acquire'] },
  });
});

test('the cause is what the server says, else what the breaker knows, else what the alert is likely due to', () => {
  const causeOf = (pool, seen) => {
    const incident = new Incident();
    incident.sample(CALM, quiet, 0);
    incident.sample({ ...CALM, ...pool }, seen, 2000);
    return incident.state().incident.cause;
  };
  const firing = { changes: [alert('fired')], firing: ['acquire'], values: { acquire: 6000 } };
  const open = { breaker: 'open', breakers: [{ ...HOST, state: 'open', reason: 'gone' }] };
  expect(causeOf({ ...open, lastConnectError: 'refused' }, firing)).toEqual({
    kind: 'server',
    text: 'refused',
  });
  expect(causeOf(open, firing)).toEqual({ kind: 'breaker', text: 'gone' });
  expect(causeOf({}, firing)).toEqual({ kind: 'breaker', text: 'the circuit breaker is open' });
  const without = { ...firing, changes: [{ ...alert('fired'), causes: [] }] };
  expect(causeOf({}, without)).toEqual({ kind: 'alert', text: null });
});

test('a breaker that only counts is no incident', () => {
  const incident = new Incident();
  incident.sample({ ...CALM, breaker: 'open', breakerStops: false }, quiet, 0);
  expect(incident.state().incident).toBeNull();
});
