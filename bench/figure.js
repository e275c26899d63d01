// The figure of the README, in a light and a dark version: throughput against pg of a few scenarios and contenders, as the
// tables of docs/performance.md have it, the medians as bars and their ranges as lines. The bench draws it again with
// every measurement; by hand: node bench/figure.js

'use strict';

const fs = require('node:fs');
const path = require('node:path');

const DOCS = path.join(__dirname, '..', 'docs');
const SCENARIOS = {
  'One-row lookup by key, 1 caller': 'One row by key, 1 caller',
  'One-row lookup by key, 10 callers': 'One row by key, 10 callers',
  'Insert of one row, 10 callers': 'One row inserted, 10 callers',
  '1,000 rows of 10 mixed columns, 4 callers': '1,000 rows, 4 callers',
};
const CONTENDERS = ['pg', 'postgres', 'pg-native', 'pgpool-rs'];
const THEMES = {
  light: { ink: '#1b2330', soft: '#5b6675', line: '#dde2e9', other: '#a9b3c1', own: '#1a5fd0' },
  dark: { ink: '#e6ebf2', soft: '#9aa7b8', line: '#2b3646', other: '#5d6b7e', own: '#8ab4ff' },
};
const WIDTH = 760;
const LEFT = 110;
const RIGHT = 60;
const BAR = 15;
const GROUP = 24;

/** `[{ title, bars: [{ name, median, least, most }] }]` of the scenarios that the document has. */
function readScenarios(markdown) {
  return Object.entries(SCENARIOS).flatMap(([heading, title]) => {
    const part = markdown.split(`### ${heading}\n`)[1]?.split('\n### ')[0];
    if (part === undefined) return [];
    const rows = part
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .map(cellsOf);
    const column = rows[0].indexOf('per second') + 1;
    const bars = CONTENDERS.flatMap((name) => {
      const row = rows.find(([first]) => first === name);
      return row === undefined ? [] : [{ name, ...ratioOf(row[column]) }];
    });
    return bars.length > 1 ? [{ title, bars }] : [];
  });
}

const cellsOf = (line) =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());

/** "1.60 (1.10–2.29)"; pg itself is "1". */
function ratioOf(cell) {
  const [median, least = median, most = median] = cell.match(/[\d.]+/g).map(Number);
  return { median, least, most };
}

/** The figure as SVG. */
function figure(scenarios, { ink, soft, line, other, own }) {
  const top = Math.ceil(Math.max(...scenarios.flatMap(({ bars }) => bars.map(({ most }) => most))));
  const x = (value) => LEFT + (value / top) * (WIDTH - LEFT - RIGHT);
  const parts = [];
  let y = 58;
  for (const { title, bars } of scenarios) {
    parts.push(`<text x="12" y="${y}" fill="${ink}" font-weight="600">${title}</text>`);
    y += 8;
    for (const { name, median, least, most } of bars) {
      const middle = y + BAR / 2;
      const color = name === 'pgpool-rs' ? own : other;
      parts.push(
        `<text x="${LEFT - 8}" y="${middle + 4}" fill="${soft}" text-anchor="end">${name}</text>`,
        `<rect x="${LEFT}" y="${y + 1}" width="${(x(median) - LEFT).toFixed(1)}" height="${BAR - 3}" fill="${color}"/>`,
        `<path d="M${x(least).toFixed(1)} ${middle}H${x(most).toFixed(1)}" stroke="${ink}"/>`,
        `<text x="${(x(most) + 6).toFixed(1)}" y="${middle + 4}" fill="${ink}">${median.toFixed(2)}</text>`,
      );
      y += BAR;
    }
    y += GROUP;
  }
  const bottom = y - GROUP + 4;
  const ticks = Array.from({ length: top + 1 }, (_, value) => value);
  const grid = ticks.map((value) => `<path d="M${x(value).toFixed(1)} 64V${bottom}" stroke="${line}"/>`);
  const labels = ticks.map(
    (value) =>
      `<text x="${x(value).toFixed(1)}" y="${bottom + 16}" fill="${soft}" text-anchor="middle">${value}</text>`,
  );
  const height = bottom + 26;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12" role="img">
<title>Throughput against pg: ${scenarios.map(({ title, bars }) => `${title}: ${bars.map(({ name, median }) => `${name} ${median}`).join(', ')}`).join('; ')}</title>
<text x="12" y="22" fill="${ink}" font-size="15" font-weight="600">Throughput, pg = 1 (more is better)</text>
<text x="12" y="38" fill="${soft}">Bars: median of the runs; lines: their range</text>
${[...grid, ...labels, ...parts].join('\n')}
</svg>
`;
}

/** Draws both versions from the document. */
function writeFigures(document = path.join(DOCS, 'performance.md'), directory = path.join(DOCS, 'figures')) {
  const scenarios = readScenarios(fs.readFileSync(document, 'utf8'));
  if (scenarios.length === 0) return [];
  fs.mkdirSync(directory, { recursive: true });
  return Object.entries(THEMES).map(([theme, colors]) => {
    const file = path.join(directory, `throughput-${theme}.svg`);
    fs.writeFileSync(file, figure(scenarios, colors));
    return file;
  });
}

if (require.main === module)
  for (const file of writeFigures()) console.log(path.relative(process.cwd(), file));

module.exports = { THEMES, figure, readScenarios, writeFigures };
