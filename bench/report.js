// The tables: one layout of rows and cells, printed as aligned text for a
// terminal or as Markdown for docs/performance.md. Ratios always come with
// their range; the figures themselves only in Markdown, where there is room.
'use strict';

const { ASSESSMENT, SCENARIOS } = require('./scenarios');
const { environmentLines } = require('./environment');
const { REFERENCE } = require('./results');
const { judge } = require('./targets');

const OURS = 'pgpool-rs';
const RATIO_DIGITS = 2;

const LEGEND =
  'Figures are medians of the rounds. "× pg" is the ratio to pg within the same round: its median, and its smallest and ' +
  'largest round in brackets. pg-control is pg once more: its ratios show the noise. CPU is per call.';

function number(value, digits) {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function spread(figure, digits) {
  if (!figure) return '–';
  if (figure.rounds === 1) return number(figure.median, digits);
  return `${number(figure.median, digits)} (${number(figure.min, digits)}–${number(figure.max, digits)})`;
}

// A contender's line holds, for each metric, its figure and its ratio.
function scenarioTable(results, contenders, { name, title, metrics }, withRanges) {
  const present = results.contendersOf(name);
  const head = ['contender'];
  for (const metric of metrics) {
    head.push(metric.title);
    if (metric.ratio) head.push('× pg');
  }
  const rows = contenders
    .filter((contender) => present.includes(contender))
    .map((contender) => {
      const row = [contender];
      for (const metric of metrics) {
        const figure = results.summary(name, contender, metric.key);
        row.push(spread(figure && !withRanges ? { ...figure, rounds: 1 } : figure, metric.digits));
        if (metric.ratio)
          row.push(
            contender === REFERENCE ? '1' : spread(results.ratio(name, contender, metric.key), RATIO_DIGITS),
          );
      }
      return row;
    });
  return { title, head, rows };
}

// The assessment's four figures, in milliseconds at the median.
function assessmentTable(results) {
  const rows = [];
  for (const name of ASSESSMENT) {
    const before = results.summary(name, REFERENCE, 'p50');
    const after = results.summary(name, OURS, 'p50');
    if (!before || !after) continue;
    const { title } = SCENARIOS.find((scenario) => scenario.name === name);
    rows.push([
      title,
      spread(before, 3),
      spread(after, 3),
      spread(results.ratio(name, OURS, 'p50'), RATIO_DIGITS),
    ]);
  }
  return {
    title: 'Before and after (latency, ms)',
    head: ['', 'before: pg', 'after: pgpool-rs', 'ratio'],
    rows,
  };
}

function targetTable(results) {
  const judged = judge((scenario, metric) => results.ratio(scenario, OURS, metric));
  const rows = judged.map(({ title, bound, ratio, met }) => [
    title,
    bound,
    spread(ratio, RATIO_DIGITS),
    met ? 'met' : 'missed',
  ]);
  return { title: 'Targets (ratio of pgpool-rs to pg)', head: ['', 'target', 'measured', ''], rows };
}

function allTables(results, contenders, withRanges) {
  const names = contenders.map(({ name }) => name);
  const tables = SCENARIOS.map((scenario) => scenarioTable(results, names, scenario, withRanges));
  return [...tables, assessmentTable(results), targetTable(results)].filter(({ rows }) => rows.length > 0);
}

function contenderLine(contenders) {
  return contenders.map(({ name, version }) => `${name} ${version}`).join(', ');
}

function absenceLines(absent, failed) {
  return [
    ...absent.map(({ name, reason }) => `absent: ${name}: ${reason}`),
    ...failed.map(({ name, scenario, reason }) => `failed: ${name} in ${scenario}: ${reason}`),
  ];
}

function textReport({ results, contenders, absent, failed, environment, command }) {
  const lines = [
    '',
    command,
    ...environmentLines(environment),
    contenderLine(contenders),
    ...absenceLines(absent, failed),
    LEGEND,
  ];
  for (const { title, head, rows } of allTables(results, contenders, false)) {
    lines.push('', title, ...alignedLines([head, ...rows]));
  }
  return lines.join('\n');
}

function alignedLines(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  ')}`.trimEnd(),
  );
}

function markdownReport({ results, contenders, absent, failed, environment, command }) {
  const lines = [
    'Made by:',
    '',
    '```sh',
    command,
    '```',
    '',
    ...environmentLines(environment).map((line) => `- ${line}`),
    `- ${contenderLine(contenders)}`,
    ...absenceLines(absent, failed).map((line) => `- ${line}`),
    '',
    `${LEGEND} Behind a figure, its smallest and largest round.`,
  ];
  for (const { title, head, rows } of allTables(results, contenders, true)) {
    lines.push(
      '',
      `### ${title}`,
      '',
      markdownRow(head),
      markdownRow(head.map((_, column) => (column === 0 ? '---' : '--:'))),
      ...rows.map(markdownRow),
    );
  }
  return `${lines.join('\n')}\n`;
}

function markdownRow(cells) {
  return `| ${cells.join(' | ')} |`;
}

module.exports = { textReport, markdownReport };
