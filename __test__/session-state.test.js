'use strict';

// The table of a client's states: which moves lead on, which come too late, and which are bugs.

const { NEW, STATES, isUsable, moveTo, refusalOf } = require('../lib/client/session-state');

const NAMES = Object.keys(STATES);
const CONNECTION_ERROR = 'Client has encountered a connection error and is not queryable';
const CLOSED = 'Client was closed and is not queryable';

/** What of a client the state is about, after `moves`. */
function after(...moves) {
  const client = { _sessionState: NEW, _ending: false, _queryable: true };
  for (const move of moves) moveTo(client, ...[move].flat());
  return client;
}

/** The shortest ways from `new` into each state. */
function waysInto() {
  const ways = new Map([['new', []]]);
  for (const [name, way] of ways) {
    for (const next of STATES[name].enters) if (!ways.has(next)) ways.set(next, [...way, next]);
  }
  return ways;
}

test('every state can be reached, and the end from every state', () => {
  expect([...waysInto().keys()].sort()).toEqual([...NAMES].sort());
  const endsFrom = (name) => name === 'ended' || STATES[name].enters.some(endsFrom);
  expect(NAMES.filter((name) => !endsFrom(name))).toEqual([]);
});

test('a move either leads on, comes too late, or throws', () => {
  for (const [from, way] of waysInto()) {
    for (const to of NAMES) {
      const { enters, ignores } = STATES[from];
      expect(enters.includes(to) && ignores.includes(to)).toBe(false);
      const client = after(...way);
      if (enters.includes(to)) moveTo(client, to);
      else if (ignores.includes(to)) moveTo(client, to);
      else expect(() => moveTo(client, to)).toThrow(`a client does not go from ${from} to ${to}`);
      expect(client._sessionState.name).toBe(enters.includes(to) ? to : from);
    }
  }
});

test('the wish to end is kept in every state, also where it comes too late', () => {
  for (const way of waysInto().values()) expect(after(...way, 'ending')._ending).toBe(true);
});

test('the code of the last words and the error of the loss are kept by the states that follow', () => {
  const fatal = after('connected', 'ready', ['fatal', { code: '57P01' }], 'severed', 'ended');
  expect(fatal._sessionState).toMatchObject({ name: 'ended', code: '57P01' });
  const error = new Error('from outside');
  expect(after('connected', ['lost', { error }], 'ended')._sessionState.error).toBe(error);
});

test('a client refuses statements once it is lost, ended or was to end', () => {
  const refusals = (...moves) => refusalOf(after(...moves))?.message;
  expect(refusals()).toBeUndefined();
  expect(refusals('connecting')).toBeUndefined();
  expect(refusals('connected', 'ready', 'fatal')).toBeUndefined();
  expect(refusals('ending')).toBe(CLOSED);
  expect(refusals('connected', 'ready', 'ending', 'ended')).toBe(CLOSED);
  expect(refusals('connecting', 'failed')).toBe(CONNECTION_ERROR);
  expect(refusals('connecting', 'failed', 'ended', 'ending')).toBe(CLOSED);
  expect(refusals('connected', 'ready', 'lost')).toBe(CONNECTION_ERROR);
  expect(refusals('connected', 'ready', 'lost', 'ended', 'ending')).toBe(CONNECTION_ERROR);
});

test('a client is usable until its end is known', () => {
  const usable = (...moves) => isUsable(after(...moves));
  expect(usable('connected', 'ready')).toBe(true);
  for (const last of ['fatal', 'ending', 'severed', 'lost', 'ended']) {
    expect(usable('connected', 'ready', last)).toBe(false);
  }
});
