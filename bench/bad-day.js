'use strict';

// What a bad day costs: each fault of bad-day/rows.js happens to plain pg, to pg with a retry loop, and to this
// package, under the same load, and a table tells what the application saw of it.
//
//   npm run bench -- --bad-day --markdown docs/reliability.md

const fs = require('node:fs');
const { prepare } = require('../scripts/prepare');
const { environmentLines, describeEnvironment } = require('./environment');
const { writeMarkdown } = require('./markdown-file');
const { isolation } = require('./bad-day/isolation');
const { parseOptions, USAGE } = require('./bad-day/options');
const { reasonToSkip } = require('./bad-day/rows');
const { secondsOf } = require('./bad-day/run-row');
const { RowRun } = require('./bad-day/row-run');
const { markdownReport, textReport } = require('./bad-day/table');

async function build({ asBuilt }) {
  if (asBuilt || process.env.PGPOOL_RS_NATIVE) return;
  const failed = (await prepare({ profile: 'release' })).find(({ ok }) => !ok);
  if (failed) throw new Error(`could not ${failed.title}`);
}

/** Runs the rows, `lanes` at a time and the longest first; results in the order of the rows. */
async function runRows(rows, { lanes, terms, quick, contenders, env }, namespaces, running) {
  const results = new Array(rows.length);
  const todo = rows.map((row, index) => ({ row, index, seconds: secondsOf(row, { ...terms, quick }) }));
  todo.sort((a, b) => b.seconds - a.seconds);
  const next = todo.values();
  const lane = async () => {
    for (const { row, index } of next) {
      const run = new RowRun();
      running.add(run);
      const tell = (cell) => process.stderr.write(`${row.name}, ${cell.contender}: ${briefly(cell)}\n`);
      results[index] = await run.run(row, { ...terms, quick, contenders, env }, namespaces, tell);
      running.delete(run);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

function briefly({ broken, failed, requests }) {
  return broken ? `broken: ${broken}` : `${failed} of ${requests} failed`;
}

async function environmentOfRun() {
  const { startPostgres } = require('../__test__/support/postgres');
  const server = await startPostgres({ tls: false });
  try {
    return environmentLines(await describeEnvironment({ query: (...words) => server.query(...words) }, true));
  } finally {
    await server.stop('immediate');
  }
}

async function main(argv) {
  const options = parseOptions(argv);
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  await build(options);
  const running = new Set();
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      for (const run of running) run.stop();
      process.exit(130);
    });
  }
  const namespaces = isolation();
  if (namespaces.length === 0)
    process.stderr.write('rows have no network of their own: connects are not counted\n');
  const skipped = [];
  const rows = options.rows.filter((row) => {
    const why = reasonToSkip(row, namespaces.length > 0);
    if (why) skipped.push({ row: row.name, why });
    return !why;
  });
  for (const { row, why } of skipped) process.stderr.write(`skipped: ${row}: ${why}\n`);
  const environment = await environmentOfRun();
  if (options.isOther)
    environment.push('faults and load were other ones than the titles say, see the switches');
  // The measurements mostly wait, so they do it beside the rows.
  const [results, measurements] = await Promise.all([
    runRows(rows, options, namespaces, running),
    options.measures ? require('./bad-day/measurements').measureAll(options) : [],
  ]);
  const report = { results, measurements, skipped, rows, environment, command: options.command };
  process.stdout.write(`${textReport(report)}\n`);
  if (options.markdown) writeMarkdown(options.markdown, markdownReport(report));
  if (options.json)
    fs.writeFileSync(
      options.json,
      `${JSON.stringify({ environment, results, measurements, skipped }, null, 2)}\n`,
    );
  if (results.some(({ broken, cells }) => broken || cells.some((cell) => cell.broken))) process.exitCode = 1;
}

module.exports = { main };
