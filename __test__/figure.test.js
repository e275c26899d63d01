'use strict';

// The figure of the README: it is drawn from the tables of the measurements, and both versions of it are there.

const fs = require('node:fs');
const path = require('node:path');
const { THEMES, figure, readScenarios } = require('../bench/figure');

const ROOT = path.join(__dirname, '..');
const read = (file) => fs.readFileSync(path.join(ROOT, file), 'utf8');

test('the figure has the medians and the ranges of the tables', () => {
  const table = `### Insert of one row, 10 callers

| contender | p50 ms | × pg | per second | × pg |
| --- | --: | --: | --: | --: |
| pg | 1 | 1 | 5,000 | 1 |
| other | 1 | 1 | 9,000 | 9.00 (8.00–10.00) |
| pgpool-rs | 0.5 | 0.5 | 7,500 | 1.50 (1.25–2.50) |

### Something else
`;
  expect(readScenarios(table)).toEqual([
    {
      title: 'One row inserted, 10 callers',
      bars: [
        { name: 'pg', median: 1, least: 1, most: 1 },
        { name: 'pgpool-rs', median: 1.5, least: 1.25, most: 2.5 },
      ],
    },
  ]);
  expect(figure(readScenarios(table), THEMES.dark)).toContain('>1.50</text>');
  expect(readScenarios('# Performance\n')).toEqual([]);
});

test('the document has the scenarios of the figure, and the README shows it light and dark', () => {
  expect(readScenarios(read('docs/performance.md')).length).toBeGreaterThan(2);
  for (const theme of Object.keys(THEMES)) {
    const file = `docs/figures/throughput-${theme}.svg`;
    expect(read('README.md')).toContain(file);
    expect(read(file)).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^]*<\/svg>\n$/);
  }
});
