// The tables of alerts and events, newest first.

import { byId, make } from './dom.mjs';
import { amount, time } from './format.mjs';

const KEPT = 100;
const LEVELS = { error: 'bad', warn: 'warn' };

// The latest event of each pool.
const latest = new Map();

export function clearTables() {
  byId('alerts').replaceChildren();
  byId('events').replaceChildren();
  latest.clear();
}

export function showAlerts(alerts) {
  const rows = alerts.map((alert) => {
    const { at, tier, rule, turn, value, threshold, unit, since, causes } = alert;
    const limits = `${amount(value, unit)}, limit ${amount(threshold, unit)}, since ${time(since)}`;
    const why = [limits, ...causes.map(({ text }) => text)].join('\n');
    return rowOf(at, tier, `${rule.replace('_', ' ')} ${turn}`, why, turn === 'cleared' ? 'good' : 'bad');
  });
  prepend(byId('alerts'), rows);
}

export function showEvents(events) {
  for (const event of events) {
    if (event.target === 'alert' || isRepeated(event)) continue;
    const name = `${event.target} ${event.event.replaceAll('_', ' ')}`;
    const row = rowOf(event.at, event.pool, name, detailsOf(event), LEVELS[event.level]);
    const mark = make('span', { class: 'times' });
    row.cells[2].append(mark);
    const shown = { event, row, mark, count: event.count ?? 1, first: event.first ?? event.at };
    latest.set(event.pool, shown);
    showCount(shown, event.at);
    prepend(byId('events'), [row]);
  }
}

function detailsOf({ fields }) {
  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ');
}

// A connect that fails like the one before it is counted there, so that an outage does not push away its beginning.
function isRepeated(event) {
  const shown = latest.get(event.pool);
  if (!shown || event.event !== 'connect_failed' || shown.event.event !== event.event) return false;
  if (shown.event.fields.error !== event.fields.error) return false;
  shown.count += 1;
  showCount(shown, event.at);
  return true;
}

function showCount({ row, mark, count, first }, at) {
  row.cells[0].textContent = time(at);
  mark.textContent = count > 1 ? ` ${count} times since ${time(first)}` : '';
}

function rowOf(at, pool, what, details, level) {
  const name = make('td', level ? { class: level } : {}, what);
  return make('tr', {}, make('td', {}, time(at)), make('td', {}, pool || ''), name, make('td', {}, details));
}

function prepend(body, rows) {
  for (const row of rows) body.prepend(row);
  while (body.rows.length > KEPT) body.lastChild.remove();
}
