'use strict';

// What a change of the leader costs under Patroni: each fault of failover/faults.js happens to the leader of three
// servers while fifty writers write through this package, and again through HAProxy with pg beside it.
//
//   npm run bench -- --failover --markdown docs/reliability.md

const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { onPath, patroniPrograms } = require('../__test__/support/patroni/programs');
const { prepare } = require('../scripts/prepare');
const { environmentLines, describeEnvironment } = require('./environment');
const { ClusterRun } = require('./failover/cluster-run');
const { FAULTS, chooseFaults } = require('./failover/faults');
const { markdownReport, textReport } = require('./failover/table');
const { writeMarkdown } = require('./markdown-file');

const WRITERS = 50;
const BESIDE_PG = ['pg + loop', 'getPool()'];
const THROUGH_HAPROXY = ['kill', 'switchover', 'freeze'];

const SWITCHES = {
  failover: { type: 'boolean' },
  faults: { type: 'string' },
  rounds: { type: 'string', default: '3' },
  json: { type: 'string' },
  markdown: { type: 'string' },
  'as-built': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

const USAGE = `Usage: npm run bench -- --failover [switches]

  --faults a,b        only these of: ${FAULTS.map(({ name }) => name).join(', ')}
  --rounds N          of each fault (default 3)
  --json FILE         write every figure
  --markdown FILE     write the tables; replaces the marked part of an existing file
  --as-built          take pgpool-rs as it was built last, instead of a release build

Needs Linux, root, Debian's etcd-server and postgresql, and Patroni, which PATRONI_COMMAND names or pip installs;
haproxy for the rounds through it.`;

function parseOptions(argv) {
  const { values } = parseArgs({ args: argv, options: SWITCHES, allowPositionals: false });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds must be a whole number above zero, not "${values.rounds}"`);
  const faults = chooseFaults(values.faults?.split(',').map((word) => word.trim()));
  const command = ['npm run bench --', ...argv.filter((word) => word !== '--as-built')].join(' ');
  return { ...values, rounds, faults, asBuilt: values['as-built'], command };
}

async function build({ asBuilt }) {
  if (asBuilt || process.env.PGPOOL_RS_NATIVE) return;
  const failed = (await prepare({ profile: 'release' })).find(({ ok }) => !ok);
  if (failed) throw new Error(`could not ${failed.title}`);
}

/** All rounds, one after another; one that broke has `broken` in the place of figures. */
async function runRounds(run, { faults, rounds }, { way, ...terms }) {
  const results = [];
  for (const { name } of faults) {
    for (let round = 1; round <= rounds; round++) {
      const prefix = `${way}:${name}:${round}`;
      const figures = await run
        .round({ fault: name, prefix, ...terms })
        .catch((error) => ({ broken: error.message, cells: [] }));
      results.push({ fault: name, round, ...figures });
      const said = figures.cells.map(({ contender, behind }) => `${contender} ${Math.round(behind)} ms`);
      process.stderr.write(`${way}, ${name} ${round}: ${figures.broken ?? said.join(', ')}\n`);
    }
  }
  return results;
}

async function main(argv) {
  const options = parseOptions(argv);
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const { programs, missing } = patroniPrograms();
  if (missing.length > 0) throw new Error(`missing: ${missing.join('; ')}`);
  const haproxy = onPath('haproxy');
  await build(options);
  const run = await ClusterRun.start(programs);
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => void run.stop().finally(() => process.exit(130)));
  let direct;
  let proxied = [];
  let environment;
  try {
    environment = environmentLines(await describeEnvironment(run, false));
    direct = await runRounds(run, options, { way: 'direct', contenders: ['getPool()'], writers: WRITERS });
    if (haproxy) {
      const faults = options.faults.filter(({ name }) => THROUGH_HAPROXY.includes(name));
      const terms = { way: 'haproxy', contenders: BESIDE_PG, writers: WRITERS / BESIDE_PG.length, haproxy };
      proxied = await runRounds(run, { ...options, faults }, terms);
    } else process.stderr.write('skipped: the rounds through HAProxy (apt install haproxy)\n');
  } finally {
    await run.stop();
  }
  const report = { direct, proxied, environment, command: options.command };
  process.stdout.write(`${textReport(report)}\n`);
  if (options.markdown) writeMarkdown(options.markdown, markdownReport(report), 'failover');
  if (options.json) fs.writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  if ([...direct, ...proxied].some(({ broken }) => broken)) process.exitCode = 1;
}

module.exports = { main };
