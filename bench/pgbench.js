// pgbench, where it is installed, as the limit: the same lookup in C, without a
// pool and without looking at the rows. One thread, as JavaScript has one.
// It takes part only where each caller has a connection of its own.
'use strict';

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Program } = require('./program');
const { ARTICLES, STATEMENTS } = require('./schema');
const { quantileOfSorted } = require('./statistics');

const SCRIPT = `\\set id random(1, ${ARTICLES})\n${STATEMENTS.lookup.replace('$1', ':id')};\n`;

class Pgbench {
  constructor(mode) {
    this.name = `pgbench-${mode}`;
    this.mode = mode;
    this.program = new Program();
  }

  async load() {
    try {
      this.version = /\d+(\.\d+)*/.exec(execFileSync('pgbench', ['--version'], { encoding: 'utf8' }))[0];
      this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-bench-'));
      fs.writeFileSync(path.join(this.folder, 'lookup.sql'), SCRIPT);
      return undefined;
    } catch (error) {
      return error.code === 'ENOENT' ? 'pgbench is not installed' : error.message;
    }
  }

  supports({ operation, callers, pool }) {
    return operation === 'lookup' && callers <= pool;
  }

  // It counts whole seconds only.
  async measure(config, { callers }, { seconds, seed }) {
    const log = path.join(this.folder, 'latency');
    const printed = await this.program.run(
      'pgbench',
      [
        '--no-vacuum',
        `--protocol=${this.mode}`,
        '--file=lookup.sql',
        `--client=${callers}`,
        '--jobs=1',
        `--time=${Math.max(1, Math.round(seconds))}`,
        `--random-seed=${seed}`,
        '--log',
        `--log-prefix=${log}`,
        '-h',
        config.host,
        '-p',
        String(config.port),
        '-U',
        config.user,
        config.database,
      ],
      { cwd: this.folder, env: { ...process.env, PGPASSWORD: config.password ?? '', PGSSLMODE: 'disable' } },
    );
    const rate = /tps = ([\d.]+)/.exec(printed);
    if (rate === null) throw new Error('pgbench printed no rate');
    const latencies = this.takeLatencies();
    return {
      throughput: Number(rate[1]),
      p50: quantileOfSorted(latencies, 0.5),
      p99: quantileOfSorted(latencies, 0.99),
    };
  }

  // The third word of each line of the log is a latency in microseconds.
  takeLatencies() {
    const latencies = [];
    for (const file of fs.readdirSync(this.folder).filter((name) => name.startsWith('latency'))) {
      const full = path.join(this.folder, file);
      for (const line of fs.readFileSync(full, 'latin1').split('\n')) {
        if (line !== '') latencies.push(Number(line.split(' ')[2]) / 1_000);
      }
      fs.rmSync(full);
    }
    return Float64Array.from(latencies).sort();
  }

  async stop() {
    this.program.stop();
    if (this.folder) fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

module.exports = { Pgbench };
