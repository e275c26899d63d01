'use strict';

// Events that are alike are told as one, on a clock that the test moves.

const { EventGroups, ofAlerts, ofEvents, ofSlowQueries } = require('../../lib/monitor/event-groups');

const failed = (at, pool, error = 'connect ECONNREFUSED', millis = at) => ({
  at,
  pool,
  level: 'warn',
  target: 'connection',
  event: 'connect_failed',
  fields: { class: 'connection', error, millis },
});

test('what fails alike in several pools is one group, with its number and its pools', () => {
  const groups = ofEvents();
  groups.take([failed(1000, 'high'), failed(1100, 'low')]);
  const changed = groups.take([failed(2000, 'high')]);
  expect(changed).toEqual([
    expect.objectContaining({
      count: 3,
      first: 1000,
      at: 2000,
      pools: ['high', 'low'],
      // What differs is left out.
      fields: { class: 'connection', error: 'connect ECONNREFUSED' },
    }),
  ]);
  expect(groups.all()).toHaveLength(1);
  expect(groups.take([failed(2100, 'high', 'connect ETIMEDOUT')])).toHaveLength(1);
  expect(groups.all()).toHaveLength(2);
});

test('after a quiet minute the same again is a group of its own', () => {
  const groups = ofEvents();
  groups.take([failed(1000, 'high')]);
  groups.take([failed(61_001, 'high')]);
  expect(groups.all().map(({ count, first }) => [count, first])).toEqual([
    [1, 1000],
    [1, 61_001],
  ]);
  expect(new Set(groups.all().map(({ id }) => id)).size).toBe(2);
});

test('the group that was not heard of for longest gives way', () => {
  const groups = new EventGroups(({ fields }) => fields.error, { kept: 2 });
  groups.take([failed(1, 'a', 'one'), failed(2, 'a', 'two'), failed(3, 'a', 'one'), failed(4, 'a', 'three')]);
  expect(groups.all().map(({ fields }) => fields.error)).toEqual(['one', 'three']);
});

test('of a slow query the longest run and the time of all runs are told', () => {
  const groups = ofSlowQueries();
  const slow = (at, fields) => ({ at, pool: 'low', level: 'warn', target: 'query', event: 'slow', fields });
  groups.take([
    slow(1000, { text: 'SELECT ?', millis: 300, waitedMillis: 20, rows: 1 }),
    slow(2000, { text: 'SELECT ?', millis: 700, waitedMillis: 5, rows: 9 }),
    slow(3000, { text: 'SELECT ?', millis: 400, waitedMillis: 90, rows: 2 }),
    slow(3000, { name: 'nap', millis: 250 }),
  ]);
  expect(groups.all().map(({ fields }) => fields)).toEqual([
    expect.objectContaining({ text: 'SELECT ?', millis: 700, waitedMillis: 5, rows: 9, totalMillis: 1285 }),
    expect.objectContaining({ name: 'nap', millis: 250, totalMillis: 250 }),
  ]);
});

test('an alert of one cause in several pools is told once, with the value of each', () => {
  const groups = ofAlerts();
  const alert = (pool, value, causes) => ({
    at: 1000,
    pool,
    level: 'error',
    target: 'alert',
    event: 'fired',
    fields: { rule: 'waiting', value, threshold: 10, unit: 'requests', since: 500, causes },
  });
  const away = [{ kind: 'server', text: 'connecting fails: connect ECONNREFUSED' }];
  groups.take([alert('high', 20, away), alert('low', 11, away), alert('other', 12, [])]);
  const [together, alone] = groups.all();
  expect(together).toMatchObject({ pools: ['high', 'low'], fields: { rule: 'waiting', causes: away } });
  expect(together.fields.told.map(({ pool, value }) => [pool, value])).toEqual([
    ['high', 20],
    ['low', 11],
  ]);
  expect(alone.pools).toEqual(['other']);
});
