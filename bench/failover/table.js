'use strict';

// The rounds as text and as Markdown: a line for each, with the time that the cluster took and the time that the
// application took after it.

const { aligned, markdownTable, seconds } = require('../bad-day/table');
const { FAULTS } = require('./faults');

const HEAD = [
  ...['', 'round', 'no leader for', 'first write after it', 'acknowledged', 'ambiguous', 'other failures'],
  ...['longest', 'lost', 'doubled', 'misreported', 'hung'],
];

const LEGEND = [
  [
    'no leader for',
    'from the fault to the first write on another machine, as a client of pg saw it that asks each twenty times a second',
  ],
  [
    'first write after it',
    "from that moment to the first of the application's writes that was acknowledged there",
  ],
  ['acknowledged', 'rows'],
  ['ambiguous', 'failed writes whose error says that the connection was lost under them: done or not'],
  ['longest', 'the longest wait for an answer or an error'],
  ['lost', 'rows that were acknowledged and are not there'],
  ['doubled', 'rows that are there more than once'],
  ['misreported', 'rows that are there, though their error said that they were not sent or were rejected'],
  ['hung', 'writes whose promise had not settled 40 s after the load'],
];

const titleOf = (fault) => FAULTS.find(({ name }) => name === fault).title;

function lineOf({ round, leaderless }, title, cell) {
  const { behind, acknowledged, failed, ambiguous, longest, lost, doubled, misreported, hung } = cell;
  return [
    ...[title, String(round), seconds(leaderless), behind === null ? '–' : `${(behind / 1000).toFixed(3)} s`],
    ...[acknowledged, ambiguous, failed - ambiguous].map(String),
    seconds(longest),
    ...[lost, doubled, misreported, hung].map(String),
  ];
}

function lines(results, withContender) {
  return results.flatMap((result) => {
    const title = titleOf(result.fault);
    if (result.broken) {
      const said = [title, String(result.round), `broken: ${result.broken.split('\n')[0]}`];
      return [HEAD.map((_, column) => said[column] ?? '–')];
    }
    return result.cells.map((cell) =>
      lineOf(result, withContender ? `${title}: ${cell.contender}` : title, cell),
    );
  });
}

function tables({ direct, proxied }) {
  const parts = [{ title: 'Patroni', table: [HEAD, ...lines(direct, false)] }];
  if (proxied.length > 0)
    parts.push({ title: 'Patroni behind HAProxy', table: [HEAD, ...lines(proxied, true)] });
  return parts;
}

function textReport(report) {
  const said = ['', report.command, ...report.environment];
  for (const { title, table } of tables(report)) said.push('', title, ...aligned(table));
  return said.join('\n');
}

function markdownReport(report) {
  const said = [
    'Made by:',
    '',
    '```sh',
    report.command,
    '```',
    '',
    ...report.environment.map((line) => `- ${line}`),
  ];
  said.push('');
  for (const { title, story } of FAULTS) said.push(`- ${title}: ${story}`);
  said.push('');
  for (const [name, meaning] of LEGEND) said.push(`- ${name}: ${meaning}`);
  for (const { title, table } of tables(report)) said.push('', `### ${title}`, '', ...markdownTable(table));
  return `${said.join('\n')}\n`;
}

module.exports = { textReport, markdownReport };
