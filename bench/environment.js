// What a reader must know to judge the figures: machine, versions, and the
// server's settings that decide what an insert costs. No names, no paths.
'use strict';

const { execFileSync } = require('node:child_process');
const os = require('node:os');

const SETTINGS = ['server_version', 'fsync', 'synchronous_commit', 'shared_buffers', 'jit'];

// Above this share of the cores being busy at the start, the figures say more
// about the neighbours than about the contenders.
const QUIET_LOAD = 0.25;

// Read when the bench starts, before it makes any load itself.
const LOAD_AT_START = os.loadavg()[0];

async function describeEnvironment(client, embedded) {
  const settings = {};
  for (const name of SETTINGS) {
    const { rows } = await client.query('select current_setting($1) as value', [name]);
    settings[name] = rows[0].value;
  }
  const cpus = os.cpus();
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    cpu: cpus[0] ? cpus[0].model : 'unknown',
    cores: cpus.length,
    system: `${os.type()} ${os.release()}`,
    node: process.version,
    commit: commit(),
    server: settings,
    embedded,
    load: LOAD_AT_START,
    busy: LOAD_AT_START > QUIET_LOAD * cpus.length,
  };
}

function commit() {
  const git = (...words) =>
    execFileSync('git', words, {
      cwd: __dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return (
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes')
    );
  } catch {
    return 'unknown';
  }
}

function environmentLines(environment) {
  const { server } = environment;
  return [
    `${environment.date}, commit ${environment.commit}`,
    `${environment.cpu}, ${environment.cores} cores, ${environment.system}, Node ${environment.node}`,
    `PostgreSQL ${server.server_version}${environment.embedded ? ' (embedded)' : ''}, fsync ${server.fsync}, synchronous_commit ${server.synchronous_commit}, shared_buffers ${server.shared_buffers}`,
    `load average at the start ${environment.load.toFixed(2)}${environment.busy ? ': the machine was not quiet' : ''}`,
  ];
}

module.exports = { describeEnvironment, environmentLines };
