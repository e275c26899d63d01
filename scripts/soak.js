'use strict';

// The long form of the storm in __test__/faults: faults every two seconds on average for as long as told,
// one line a minute, and a report at the end. Exit code 0 when nothing was lost, doubled, wrong or hung.
//
// With --hostile the attacks by a server and by values instead: see soak-hostile.js.
//
// usage: npm run soak -- [--minutes 60] [--seed 1] [--every 2000] [--hostile] [--markdown docs/reliability.md]

const { parseArgs } = require('node:util');
const { writeMarkdown } = require('../bench/markdown-file');
const { Pool } = require('..');
const { Storm, complaints, growth } = require('../__test__/faults/storm');
const { soakHostile } = require('./soak-hostile');

const MEGABYTE = 2 ** 20;
const ALLOWED_GROWTH = 100 * MEGABYTE;

function table(figures) {
  const row = (cells) => `| ${cells.join(' | ')} |\n`;
  const names = Object.keys(figures[0]);
  return row(names) + row(names.map(() => '--:')) + figures.map((line) => row(Object.values(line))).join('');
}

async function main() {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 100_000) },
      every: { type: 'string', default: '2000' },
      hostile: { type: 'boolean', default: false },
      markdown: { type: 'string' },
    },
  });
  const [minutes, seed, every] = [values.minutes, values.seed, values.every].map(Number);
  if (![minutes, seed, every].every((value) => Number.isFinite(value) && value >= 0))
    throw new Error('minutes, seed and every are numbers');
  if (values.hostile) {
    const isClean = await soakHostile({ minutes, seed, markdown: values.markdown }, table);
    if (!isClean) process.exitCode = 1;
    return;
  }
  console.log(`soak: ${minutes} min, seed ${seed}, a fault every ${every} ms on average`);

  let faults = 0;
  const storm = new Storm({ Pool, seed, seconds: minutes * 60, every, tell: () => (faults += 1) });
  const begin = Date.now();
  const minute = setInterval(() => {
    const megabytes = Math.round(process.memoryUsage().rss / MEGABYTE);
    console.log(
      `${Math.round((Date.now() - begin) / 60_000)} min: ${faults} faults, ${JSON.stringify(storm.progress())}, ${megabytes} MB`,
    );
  }, 60_000);
  const report = await storm.run().finally(() => clearInterval(minute));

  const { audit, failures, told } = report;
  console.log(JSON.stringify({ faults: report.faults, counts: audit.counts, failures, told }, null, 2));
  console.log(`growth: ${(growth(report.memory) / MEGABYTE).toFixed(1)} MB`);
  const found = complaints(report, ALLOWED_GROWTH);
  const misreported = audit.risen.length + audit.torn.length + audit.wrong.length;
  const [lost, doubled, hung] = [audit.lost, audit.doubled, audit.hung].map(({ length }) => length);
  console.log(`soak: ${lost} lost, ${doubled} doubled, ${misreported} wrongly reported, ${hung} hung`);
  if (values.markdown) {
    const { acknowledged, aborted, unknown } = audit.counts;
    const faults = Object.values(report.faults).reduce((sum, count) => sum + count, 0);
    const figures = { minutes, faults, requests: report.questions, acknowledged, aborted, unknown };
    writeMarkdown(values.markdown, table([{ ...figures, lost, doubled, misreported, hung }]), 'soak');
  }
  if (Object.keys(found).length === 0) return;
  console.error(JSON.stringify(found, null, 2));
  process.exitCode = 1;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
