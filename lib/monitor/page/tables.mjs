// The tables of what happened. A row is a group of alike events, which the server has told by its number; a group that
// comes again changes its row.

import { byId, make } from './dom.mjs';
import { amount, millis, number, time } from './format.mjs';

const KEPT = 100;
const LEVELS = { error: 'bad', warn: 'warn' };
const byTime = (group) => group.first;

class Table {
  /** @param cellsOf the cells of a group, by the headings of the table; @param orderOf the greatest comes first */
  constructor(id, cellsOf, orderOf = byTime) {
    this.body = byId(id);
    this.labels = [...this.body.closest('table').tHead.rows[0].cells].map(({ textContent }) => textContent);
    this.empty = byId(`${id}-empty`);
    this.cellsOf = cellsOf;
    this.orderOf = orderOf;
    this.rows = new Map();
  }

  clear() {
    this.rows.clear();
    this.body.replaceChildren();
  }

  show(groups) {
    for (const group of groups) this.rows.set(group.id, { group, row: this.rowOf(group) });
    const order = ({ group }) => this.orderOf(group);
    const sorted = [...this.rows.values()].sort((one, other) => order(other) - order(one));
    for (const { group } of sorted.splice(KEPT)) this.rows.delete(group.id);
    if (groups.length > 0) this.body.replaceChildren(...sorted.map(({ row }) => row));
    this.empty.hidden = this.rows.size > 0;
    this.body.closest('.scroll').hidden = this.rows.size === 0;
  }

  rowOf(group) {
    const cells = this.cellsOf(group).map((content, i) => {
      const { text, level } = typeof content === 'string' ? { text: content } : content;
      return make('td', { 'data-label': this.labels[i], class: level ?? '' }, text);
    });
    return make('tr', {}, ...cells);
  }
}

function whenOf({ first, at, count }) {
  return count > 1 && time(first) !== time(at) ? `${time(first)} to ${time(at)}` : time(first);
}

const poolsOf = ({ pools }) => pools.join(', ');
const timesOf = ({ count }) => `${count}×`;

function alertCells(group) {
  const { rule, told, causes } = group.fields;
  const values = told.map(({ pool, value, threshold, unit, since }) => {
    const name = told.length > 1 ? `${pool}: ` : '';
    return `${name}${amount(value, unit)}, limit ${amount(threshold, unit)}, since ${time(since)}`;
  });
  const level = group.event === 'cleared' ? 'good' : 'bad';
  const why = [...causes.map(({ text }) => text), ...values].join('\n');
  return [time(group.at), poolsOf(group), { text: `${rule.replace('_', ' ')} ${group.event}`, level }, why];
}

function detailsOf({ fields }) {
  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ');
}

function eventCells(group) {
  const event = group.event.replaceAll('_', ' ');
  const name = event.startsWith('connect ') ? event : `${group.target} ${event}`;
  return [
    whenOf(group),
    poolsOf(group),
    { text: name, level: LEVELS[group.level] },
    timesOf(group),
    detailsOf(group),
  ];
}

const RETRIES = { retrying: 'tried again', gave_up: 'gave up', denied: 'refused by the budget' };

const WHY_NOT = {
  final: 'it would fail again',
  ambiguous: 'it may have run',
  off: 'retries are off',
  attempts: 'no attempts are left',
  deadline: 'the deadline is too near',
  budget: 'the retry budget is spent',
};

function whyRetried({ fields }) {
  const { error, code, class: failure, phase, reason, attempt, of, delayMillis, attempts } = fields;
  const parts = [
    [code, error].filter(Boolean).join(' ') || failure,
    phase && `the request was ${phase}`,
    WHY_NOT[reason] ?? reason,
    attempt !== undefined && `attempt ${attempt}${of === undefined ? '' : ` of ${of}`}`,
    delayMillis !== undefined && `after a pause of ${millis(delayMillis)}`,
    attempts !== undefined && `after ${attempts} attempts`,
  ];
  return parts.filter(Boolean).join(', ');
}

function retryCells(group) {
  const what = { text: RETRIES[group.event] ?? group.event, level: LEVELS[group.level] };
  return [whenOf(group), poolsOf(group), what, timesOf(group), whyRetried(group)];
}

function slowCells(group) {
  const { text, name, class: failure, millis: longest, waitedMillis, rows, totalMillis } = group.fields;
  return [
    { text: `${text ?? name}${failure ? `\nfailed: ${failure}` : ''}`, level: 'code' },
    poolsOf(group),
    timesOf(group),
    millis(longest),
    millis(totalMillis),
    waitedMillis === undefined ? 'none' : millis(waitedMillis),
    number(rows),
    time(group.at),
  ];
}

const tables = {
  alerts: new Table('alerts', alertCells),
  slowQueries: new Table('slow-queries', slowCells, ({ fields }) => fields.totalMillis),
  retries: new Table('retries', retryCells),
  events: new Table('events', eventCells),
};

export function clearTables() {
  for (const table of Object.values(tables)) table.clear();
}

export function showTables(sample) {
  for (const [name, table] of Object.entries(tables)) table.show(sample[name]);
  const limits = [...new Set(sample.pools.map(({ slowQueryMillis }) => slowQueryMillis).filter(Boolean))];
  byId('slow-limit').textContent =
    limits.length > 0
      ? `Queries that ran for ${limits.map((limit) => millis(limit)).join(', ')} or longer, the most time in all first.`
      : 'No pool has a limit: set slowQueryMillis, or DB_SLOW_QUERY for the tiers.';
  const { missed } = sample;
  byId('missed').textContent = missed > 0 ? `${number(missed)} more came too fast to be listed.` : '';
}
