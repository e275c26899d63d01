'use strict';

// Programs that tests run as processes of their own: does it end by itself, how, and what did it say?
// A program is the body of an async function of `driver`, `config` and `say`, run with pg or with this
// package. `config` is the server's; `say` writes one line of JSON.

const path = require('node:path');
const { spawn } = require('node:child_process');
const { config } = require('../support/server');
const { until } = require('../support/until');

const PACKAGE = { pg: 'pg', 'pgpool-rs': path.resolve(__dirname, '../..') };
const running = new Set();

function program(driver, body, options) {
  return `
    'use strict';
    const driver = require(${JSON.stringify(PACKAGE[driver])});
    const config = (more) => ({ ...${JSON.stringify(options)}, ...more });
    const say = (what) => require('node:fs').writeSync(1, JSON.stringify(what) + '\\n');
    (async () => {${body}})();
  `;
}

class Child {
  lines = [];
  errors = '';
  /** `{ code, signal }` when it has ended. */
  end = null;

  constructor(driver, body, options) {
    const source = program(driver, body, { ...config(), ...options });
    this.process = spawn(process.execPath, ['-e', source], {
      cwd: path.resolve(__dirname, '../..'),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    running.add(this);
    let rest = '';
    this.process.stdout.on('data', (chunk) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop();
      this.lines.push(...parts.map((line) => JSON.parse(line)));
    });
    this.process.stderr.on('data', (chunk) => (this.errors += chunk));
    this.process.on('close', (code, signal) => {
      this.end = { code, signal };
      running.delete(this);
    });
  }

  /** Resolves when it has said `count` lines. */
  said(count = 1) {
    return until(() => this.lines.length >= count || this.end, { what: 'the program to speak' });
  }

  /** Resolves with how it ended. */
  async ended() {
    await until(() => this.end, { what: `the program to end by itself; it said ${this.errors}` });
    return this.end;
  }

  kill() {
    this.process.kill('SIGKILL');
  }
}

/** Starts a program with `driver`: 'pg' or 'pgpool-rs'. */
const start = (driver, body, options) => new Child(driver, body, options);

/** Ends what a test has left. */
function killAll() {
  for (const child of running) child.kill();
}

const WELL = { code: 0, signal: null };

module.exports = { start, killAll, WELL, drivers: Object.keys(PACKAGE) };
