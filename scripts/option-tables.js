'use strict';

// The tables of docs/guide/configuration.md, rendered from the table of options. `node scripts/option-tables.js` writes
// them into the guide, between comments that name them; a test fails when the guide differs.

const fs = require('node:fs');
const path = require('node:path');
const { RULES } = require('../lib/config/alert-thresholds');
const { OPTIONS, optionsOf } = require('../lib/config/options');

const GUIDE = path.join(__dirname, '..', 'docs', 'guide', 'configuration.md');
const PREFIXES = ['DB_HIGH_PRIORITY', 'DB_LOW_PRIORITY', 'DB_ADMIN'];
const SHARED = 'shared';

const code = (name) => `\`${name}\``;
const names = (all) => all.map(code).join(', ');
const isByTier = (value) => value !== null && typeof value === 'object';

/** The default of an option in words, with names in backticks. */
function defaultText({ default: value, otherwise, kind }) {
  if (value === undefined) return otherwise ?? '';
  const text = typeof value === 'number' || kind === 'text' ? String(value) : code(value);
  return otherwise === undefined ? text : `${text}, ${otherwise}`;
}

function rangeText({ kind, from, to, choices }, least = from) {
  if (kind === 'share') return `above ${from}, up to ${to}`;
  if (least !== undefined) return to === undefined ? `from ${least}` : `${least} to ${to}`;
  return kind === 'choice' || kind === 'switch' ? names(choices) : '';
}

function unitText({ kind }) {
  return kind === 'seconds' || kind === 'bytes' ? kind : '';
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |');
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function optionTable(owner) {
  const rows = optionsOf(owner).map((option) => [
    names([option.name, ...(option.aliases ?? [])]),
    defaultText(option),
    [rangeText(option), unitText(option)].filter(Boolean).join(', '),
    option.doc,
  ]);
  return table(['option', 'default', 'range', 'meaning'], rows);
}

/** The rows of a variable: one, or one for each tier that has a variable of its own. */
function variableRows(option) {
  const { name, variable, tiers, perTier } = option;
  const doc = option.variableDoc ?? option.doc;
  const row = (variables, value, key) => [
    variables,
    name === undefined ? '' : code(name),
    value,
    rangeText(option, option.variableFrom ?? option.from),
    isByTier(doc) ? doc[key] : doc,
  ];
  if (isByTier(variable)) {
    const tierOf = (key) => (isByTier(tiers) ? String(tiers[key]) : option.otherwise);
    return Object.entries(variable).map(([key, one]) =>
      row(code(one), key === 'common' || isByTier(tiers) ? tierOf(key) : `as ${code(variable.common)}`, key),
    );
  }
  const own = perTier ? PREFIXES.map((prefix) => variable.replace(/^DB/, prefix)) : [];
  return [row(names([variable, ...own]), tiers === undefined ? defaultText(option) : tierText(tiers))];
}

// A value that one tier has alone is named after the common one.
function tierText(tiers) {
  if (!isByTier(tiers)) return typeof tiers === 'number' ? String(tiers) : code(flagText(tiers));
  const { [SHARED]: common, ...own } = tiers;
  const others = Object.entries(own).filter(([, value]) => value !== common);
  return [common, ...others.map(([tier, value]) => `${code(tier)} ${value}`)].join('; ');
}

const flagText = (value) => (typeof value === 'boolean' ? (value ? 'on' : 'off') : value);

function variableTable(section) {
  const rows = OPTIONS.filter((option) => option.section === section).flatMap(variableRows);
  return table(['variable', 'option', 'default', 'range', 'meaning'], rows);
}

/** What the tiers have without a variable. */
function fixedTable() {
  const fixed = OPTIONS.filter(({ tiers, variable }) => tiers !== undefined && variable === undefined);
  return table(
    ['option', 'in the tiers', 'in a plain pool'],
    fixed.map((option) => [code(option.name), tierText(option.tiers), defaultText(option)]),
  );
}

const WATCHED = {
  waiting: 'requests that wait',
  acquire: 'milliseconds to get a connection',
  errorRate: 'share of operations that fail',
  utilisation: 'share of connections in use',
};

function alertTable() {
  const { thresholds } = require('../lib/monitor/metrics').metricsTable();
  const rows = Object.entries(RULES).map(([rule, setting]) => {
    const { above, forMillis, below, clearMillis } = thresholds[setting];
    const variable = (suffix, value) => `${code(`DB_ALERT_${rule}${suffix}`)} ${value}`;
    return [
      WATCHED[setting],
      variable('', above),
      variable('_FOR', forMillis / 1000),
      variable('_CLEAR', below),
      variable('_CLEAR_FOR', clearMillis / 1000),
    ];
  });
  return table(['watched', 'fires above', 'held for', 'clears below', 'held for'], rows);
}

function otherAlertTable() {
  const { leastOperations, reminderMillis } = require('../lib/monitor/metrics').metricsTable().thresholds;
  return table(
    ['variable', 'default', 'meaning'],
    [
      [
        code('DB_ALERT_LEAST_OPERATIONS'),
        leastOperations,
        'with fewer operations in a minute the error rate is not known',
      ],
      [code('DB_ALERT_REMINDER'), reminderMillis / 1000, 'a firing alert is repeated this often; 0: never'],
    ],
  );
}

const TABLES = {
  'options of a connection': () => optionTable('client'),
  'options of a pool': () => optionTable('pool'),
  'options of a query': () => optionTable('query'),
  'options of pool.query': () => optionTable('pool.query'),
  'variables: where to connect': () => variableTable('Where to connect'),
  'variables: sizes': () => variableTable('Sizes'),
  'variables: times': () => variableTable('Times'),
  'fixed in the tiers': fixedTable,
  'variables: switches': () => variableTable('Switches'),
  'variables: limits of the breaker': () => variableTable('Limits of the breaker'),
  'variables: alerts': alertTable,
  'variables: other alerts': otherAlertTable,
};

/** The guide with its tables rendered anew. */
function withTables(guide) {
  return guide.replace(/(<!-- table: (.+?) -->\n)[^]*?(\n<!-- end of table -->)/g, (_, begin, name, end) => {
    if (!Object.hasOwn(TABLES, name)) throw new Error(`there is no table ${name}`);
    return `${begin}\n${TABLES[name]()}\n${end}`;
  });
}

if (require.main === module) fs.writeFileSync(GUIDE, withTables(fs.readFileSync(GUIDE, 'utf8')));

module.exports = { TABLES, defaultText, withTables };
