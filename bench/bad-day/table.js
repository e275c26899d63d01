'use strict';

// The scoreboard as text and as Markdown: for each row a table with a line per contender, and before them one that
// shows failed requests of all rows side by side.

const { NAMES } = require('./contenders');

const COLUMNS = [
  [
    'failed',
    ({ failed, requests, unanswered }) =>
      `${failed} of ${requests}${unanswered > 0 ? ` (${unanswered} unanswered)` : ''}`,
  ],
  ['reads', ({ failedReads }) => String(failedReads)],
  ['ambiguous', ({ ambiguous }) => String(ambiguous)],
  ['doubled', ({ doubled }) => String(doubled)],
  ['lost', ({ lost }) => String(lost)],
  ['misreported', ({ misreported }) => String(misreported)],
  ['longest', ({ longest }) => seconds(longest)],
  ['first', ({ first }) => seconds(first)],
  ['hundredth', ({ hundredth }) => seconds(hundredth)],
  ['last failure', ({ lastFailure }) => seconds(lastFailure)],
  ['connects/s', ({ connects }) => (connects === null ? '–' : connects.toFixed(1))],
  ['p99', ({ p99 }) => seconds(p99)],
];

const LEGEND = [
  [
    'failed',
    'requests that were rejected, of all; `unanswered`: their promise had not settled 12 s after the load',
  ],
  ['reads', 'failed requests that only read'],
  ['ambiguous', 'failed writes whose error says that the connection was lost under them: done or not'],
  ['doubled', 'writes that are in the table more than once'],
  ['lost', 'writes that were acknowledged and are not there'],
  ['misreported', 'writes that are there, though their error said that they were not sent or were rejected'],
  ['longest', 'the longest wait for an answer or an error'],
  ['first, hundredth', 'time from the server serving again to the first and the hundredth success'],
  ['last failure', 'time from the server serving again to the last error'],
  ['connects/s', 'TCP connects a second during the fault, refused ones too'],
  ['p99', 'of the latency of what succeeded'],
];

function seconds(millis) {
  if (millis === null || millis === undefined) return '–';
  return `${(millis / 1000).toFixed(millis < 100 ? 3 : 2)} s`;
}

function lineOf(cell) {
  if (cell.broken)
    return [cell.contender, `broken: ${cell.broken.split('\n')[0]}`, ...COLUMNS.slice(1).map(() => '–')];
  return [cell.contender, ...COLUMNS.map(([, show]) => show(cell))];
}

function rowTable(cells) {
  return [['', ...COLUMNS.map(([title]) => title)], ...cells.map(lineOf)];
}

/** Failed requests, and behind them until when after the fault. */
function overview(results, rows) {
  const short = ({ broken, failed, requests, lastFailure }) => {
    if (broken) return 'broken';
    return `${failed} of ${requests}${lastFailure === null ? '' : `, ${seconds(lastFailure)}`}`;
  };
  const lines = results.map(({ row, cells }) => {
    const { title } = rows.find(({ name }) => name === row);
    const cellOf = (name) => cells.find(({ contender }) => contender === name);
    return [title, ...NAMES.map((name) => (cellOf(name) ? short(cellOf(name)) : ''))];
  });
  return [['', ...NAMES], ...lines];
}

function aligned(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
}

function markdownTable(lines) {
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const [head, ...rest] = lines;
  return [row(head), row(head.map((_, column) => (column === 0 ? '---' : '--:'))), ...rest.map(row)];
}

function reasonLines(cells) {
  return cells
    .filter(({ reasons }) => reasons && Object.keys(reasons).length > 0)
    .map(({ contender, reasons }) => {
      const most = Object.entries(reasons).sort(([, a], [, b]) => b - a);
      return `  ${contender}: ${most.map(([name, count]) => `${count} ${name}`).join(', ')}`;
    });
}

function textReport({ results, measurements, skipped, rows, environment, command }) {
  const lines = ['', command, ...environment];
  for (const { row, cells, broken } of results) {
    lines.push(
      '',
      rows.find(({ name }) => name === row).title,
      ...aligned(rowTable(cells)),
      ...reasonLines(cells),
    );
    if (broken) lines.push(`broken: ${broken}`);
  }
  for (const table of measurements) lines.push('', table.title, ...aligned(table.lines));
  for (const { row, why } of skipped) lines.push('', `skipped: ${row}: ${why}`);
  return lines.join('\n');
}

function markdownReport({ results, measurements, skipped, rows, environment, command }) {
  const lines = ['Made by:', '', '```sh', command, '```', '', ...environment.map((line) => `- ${line}`)];
  for (const { row, why } of skipped) lines.push(`- skipped: ${row}: ${why}`);
  if (results.length > 0) {
    lines.push('', 'Failed requests, and the time from the server serving again to the last of them:', '');
    lines.push(...markdownTable(overview(results, rows)), '');
    for (const [name, meaning] of LEGEND) lines.push(`- ${name}: ${meaning}`);
  }
  for (const { row, cells } of results) {
    const { title, story } = rows.find(({ name }) => name === row);
    lines.push('', `### ${title}`, '', story, '', ...markdownTable(rowTable(cells)));
  }
  for (const table of measurements)
    lines.push('', `### ${table.title}`, '', table.story, '', ...markdownTable(table.lines));
  return `${lines.join('\n')}\n`;
}

module.exports = { aligned, markdownTable, markdownReport, seconds, textReport };
