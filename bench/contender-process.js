// The child process of one contender: loads its module, then answers the
// orchestrator's commands one at a time. It ends when the orchestrator does.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { checkedRows } = require('./workload');
const { measure } = require('./measurement');

const name = process.argv[2];
let adapter;

const COMMANDS = {
  load() {
    const contender = require(`./contenders/${name}`);
    adapter = contender.load();
    return { version: versionOf(contender.package), operations: Object.keys(adapter) };
  },
  check: ({ config }) => checkedRows(adapter, config),
  measure: ({ config, scenario, timing }) => measure(adapter, config, scenario, timing),
};

function versionOf(packageName) {
  const entry = require.resolve(packageName, { paths: [path.join(__dirname, 'contenders')] });
  for (let folder = path.dirname(entry); folder !== path.dirname(folder); folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (!fs.existsSync(manifest)) continue;
    const { version } = JSON.parse(fs.readFileSync(manifest, 'utf8'));
    if (version !== undefined) return version;
  }
  return 'unknown';
}

process.on('message', async ({ command, argument }) => {
  try {
    process.send({ value: await COMMANDS[command](argument) });
  } catch (error) {
    process.send({ error: { message: String(error && error.message), code: error && error.code } });
  }
});
process.on('disconnect', () => process.exit());
