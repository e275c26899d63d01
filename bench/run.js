// The command: reads the switches, brings the checkout to a release build, runs
// the bench and publishes its tables. Ends with 1 when a contender returns wrong
// rows or fails while measured; leaves nothing running, also when interrupted.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { chooseContenders } = require('./contender-names');
const { writeFigures } = require('./figure');
const { writeMarkdown } = require('./markdown-file');
const { parseOptions, USAGE } = require('./options');
const { textReport, markdownReport } = require('./report');
const { chooseScenarios } = require('./scenarios');
const { prepare } = require('../scripts/prepare');

const OURS = 'pgpool-rs';

// A build that fails must not let the one before it be measured in its place.
async function buildOurs(names, { asBuilt }) {
  const unbuilt = new Map();
  if (!names.includes(OURS) || asBuilt || process.env.PGPOOL_RS_NATIVE) return unbuilt;
  const failed = (await prepare({ profile: 'release' })).find(({ ok }) => !ok);
  if (failed) unbuilt.set(OURS, `could not ${failed.title}`);
  return unbuilt;
}

// In reverse order of starting. One that cannot be stopped keeps no other.
async function stopAll(started) {
  for (const one of started.splice(0).reverse()) {
    await one.stop().catch((error) => console.error(`stopping: ${error.message}`));
  }
}

function publish(report, options) {
  process.stdout.write(`${textReport(report)}\n`);
  if (options.markdown) {
    writeMarkdown(options.markdown, markdownReport(report));
    writeFigures(options.markdown, path.join(path.dirname(options.markdown), 'figures'));
  }
  if (options.json) {
    const { results, ...rest } = report;
    fs.writeFileSync(
      options.json,
      `${JSON.stringify({ ...rest, measurements: results.measurements }, null, 2)}\n`,
    );
  }
}

async function main() {
  if (process.argv.includes('--failover')) return require('./failover').main(process.argv.slice(2));
  if (process.argv.includes('--bad-day')) return require('./bad-day').main(process.argv.slice(2));
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const scenarios = chooseScenarios(options.only);
  const names = chooseContenders(options);
  const unbuilt = await buildOurs(names, options);
  // Only now are its dependencies sure to be installed.
  const { bench } = require('./bench');
  const started = [];
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      interruption.abort(new Error('interrupted'));
      stopAll(started).then(() => process.exit(130));
    });
  }
  try {
    const report = await bench({ options, names, scenarios, unbuilt }, started, interruption.signal);
    publish(report, options);
    if (report.failed.length > 0) process.exitCode = 1;
  } finally {
    await stopAll(started);
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
