'use strict';

// The committed files are what the generator makes, and name only what a real scrape tells.

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync, spawnSync } = require('node:child_process');
const { Pool, metricsText } = require('../..');
const { config } = require('../../__test__/support/server');
const { FILES } = require('./generate');
const { rules } = require('./alerts');
const { dashboard } = require('./dashboard');
const { limits, metric, table } = require('./table');

// Words of the query language, of Prometheus itself, and of Grafana.
const WORDS = [
  'and',
  'or',
  'on',
  'by',
  'min',
  'sum',
  'rate',
  'increase',
  'histogram_quantile',
  'unless',
  'label_values',
];
const OWN = ['ALERTS', 'alertname', 'alertstate', 'job', 'instance', 'le'];

const expressions = () => [
  ...rules().map(({ expr }) => expr),
  ...dashboard().panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ...dashboard().templating.list.flatMap(({ query }) => (query.startsWith('label_values') ? [query] : [])),
];

/** The names in an expression: neither strings, nor numbers, nor spans, nor variables. */
function names(expression) {
  const bare = expression
    .replace(/"[^"]*"/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\$\w+/g, '');
  return [...new Set(bare.match(/\b[A-Za-z_]\w*/g) ?? [])].filter(
    (word) => !WORDS.includes(word) && !OWN.includes(word),
  );
}

test.each(Object.keys(FILES))(
  '%s is what the generator makes: run `node examples/observability/generate.js`',
  (name) => {
    expect(fs.readFileSync(path.join(__dirname, name), 'utf8')).toBe(FILES[name]());
  },
);

test('every name in an expression is in a real scrape', async () => {
  const pool = new Pool(config({ tier: 'scraped', max: 1 }));
  await pool.query('SELECT 1');
  await pool.query('SELECT 1 / 0').catch(() => {});
  // The one that gives way has an adaptive limit.
  const adaptive = ['highPriority', 'lowPriority'].map(
    (tier) => new Pool(config({ tier, max: 4, adaptive: 'on' })),
  );
  for (const one of adaptive) await one.query('SELECT 1');
  const scrape = metricsText();
  await Promise.all([pool, ...adaptive].map((one) => one.end()));
  for (const expression of expressions()) {
    expect(names(expression).length).toBeGreaterThan(0);
    for (const name of names(expression)) {
      // A metric stands at the beginning of a line, a label before its value.
      expect({
        expression,
        name,
        known: new RegExp(`^${name}[ {]`, 'm').test(scrape) || scrape.includes(`${name}="`),
      }).toMatchObject({ known: true });
    }
    for (const [open, close] of ['()', '{}', '[]'])
      expect(expression.split(open).length).toBe(expression.split(close).length);
  }
});

test('the dashboard shows every metric of the table', () => {
  const shown = dashboard()
    .panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
    .join('\n');
  expect(
    table.metrics.filter(({ prometheus }) => !shown.includes(prometheus)).map(({ name }) => name),
  ).toEqual([]);
});

test('panels stand beside and below each other, and none on another', () => {
  const taken = new Set();
  for (const {
    title,
    gridPos: { x, y, w, h },
  } of dashboard().panels) {
    expect(x + w).toBeLessThanOrEqual(24);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        expect({ title, taken: taken.has(`${column} ${row}`) }).toMatchObject({ taken: false });
        taken.add(`${column} ${row}`);
      }
    }
  }
});

test('there is a rule for every rule of the monitor, with its limits and times', () => {
  for (const { rule } of table.rules) {
    const found = rules().find(({ labels }) => labels.rule === rule);
    const { above, below, fires, clears } = limits(rule);
    expect(found).toMatchObject({ for: fires, keep_firing_for: clears });
    expect(found.expr).toContain(`> ${above}`);
    expect(found.expr).toContain(`>= ${below}`);
  }
});

test('a name that does not exist is an error', () => {
  expect(() => metric('db.client.connection.cuont')).toThrow('there is no metric');
});

// Debian's package `prometheus` brings it; PROMTOOL names another one.
const promtool = process.env.PROMTOOL || 'promtool';
const isThere = spawnSync(promtool, ['--version']).status === 0;
(isThere ? test : test.skip)('promtool accepts the rules, and they fire and clear when they should', () => {
  for (const args of [
    ['check', 'rules', 'alerts.yml'],
    ['test', 'rules', 'alerts.test.yml'],
  ]) {
    expect(String(execFileSync(promtool, args, { cwd: __dirname }))).toContain('SUCCESS');
  }
});
