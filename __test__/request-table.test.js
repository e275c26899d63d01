'use strict';

// The table of requests: it finds each by its id, and gives no id out twice.

const { LAST_ID, RequestTable } = require('../lib/native/request-table');

function added(table) {
  const request = { id: 0 };
  request.id = table.add(request);
  return request;
}

test('an id that was taken out finds nothing, whatever came after it', () => {
  const table = new RequestTable();
  const first = added(table);
  expect(table.take(first.id)).toBe(first);
  const later = Array.from({ length: 1000 }, () => {
    const request = added(table);
    table.take(request.id);
    return request.id;
  });
  expect(new Set([first.id, ...later]).size).toBe(1001);
  for (const id of [first.id, ...later]) {
    expect(table.get(id)).toBeUndefined();
    expect(table.take(id)).toBeUndefined();
  }
  expect(table.slots.length).toBe(64);
});

test('requests are found however many there are, and in whatever order they end', () => {
  const table = new RequestTable();
  const requests = Array.from({ length: 5000 }, () => added(table));
  for (const request of requests.filter((_, index) => index % 7 !== 0)) {
    expect(table.take(request.id)).toBe(request);
  }
  const kept = requests.filter((_, index) => index % 7 === 0);
  kept.push(...Array.from({ length: 100 }, () => added(table)));
  for (const request of kept) expect(table.get(request.id)).toBe(request);
  expect(new Set(table.all())).toEqual(new Set(kept));
  expect(table.size).toBe(kept.length);
});

test('ids begin again after the last one, and pass over those that are in use', () => {
  const table = new RequestTable();
  const first = added(table);
  const second = added(table);
  table.take(second.id);
  table.lastId = LAST_ID - 1;
  expect(added(table).id).toBe(LAST_ID);
  const next = added(table);
  expect(next.id).toBe(2);
  expect([table.get(first.id), table.get(2)]).toEqual([first, next]);
});
