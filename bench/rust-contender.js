// A pool in Rust without Node: deadpool-postgres on tokio-postgres, or the core of this
// package. Both are in one program in bench/rust. Built on demand; it does the lookup and
// prints its figures as one line of JSON.
'use strict';

const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { Program } = require('./program');
const { digest } = require('./row-digest');
const { CHECKED_KEYS } = require('./workload');

const CRATE = path.join(__dirname, 'rust');
const BINARY = path.join(
  CRATE,
  'target',
  'release',
  process.platform === 'win32' ? 'bench-rust.exe' : 'bench-rust',
);

// By name, what the program calls it and its version.
const RUST = {
  deadpool: ['deadpool', '0.14.2'],
  'pgpool-rs-core': ['core', require('../package.json').version],
};

class RustContender {
  constructor(name) {
    this.name = name;
    [this.pool, this.version] = RUST[name];
    this.program = new Program();
  }

  // A shared target folder would put the binary elsewhere, so it is unset.
  async load() {
    const environment = { ...process.env };
    delete environment.CARGO_TARGET_DIR;
    const built = spawnSync('cargo', ['build', '--release', '--locked', '--quiet'], {
      cwd: CRATE,
      env: environment,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (built.error) return 'cargo is not installed';
    return built.status === 0 ? undefined : 'bench/rust did not build';
  }

  supports({ operation }) {
    return operation === 'lookup';
  }

  async check(config) {
    const rows = await this.run(config, ['check', ...CHECKED_KEYS]);
    return { lookup: digest(rows.map((row) => ({ ...row, published_at: new Date(row.published_at) }))) };
  }

  measure(config, { callers, pool }, { seconds, warmup, seed }) {
    return this.run(config, ['measure', pool, callers, seconds, warmup, seed]);
  }

  async run({ host, port, user, password, database }, words) {
    const variables = {
      BENCH_HOST: host,
      BENCH_PORT: String(port),
      BENCH_USER: user,
      BENCH_PASSWORD: password ?? '',
      BENCH_DATABASE: database,
    };
    return JSON.parse(
      await this.program.run(BINARY, [this.pool, ...words].map(String), {
        env: { ...process.env, ...variables },
      }),
    );
  }

  async stop() {
    this.program.stop();
  }
}

module.exports = { RUST, RustContender };
