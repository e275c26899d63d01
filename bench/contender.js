// The orchestrator's side of one JavaScript contender: its process, one command
// at a time, and a limit on the wait for each answer. A contender that dies or
// stalls is an error of that contender, never a hung run.
'use strict';

const { fork } = require('node:child_process');
const path = require('node:path');

const PATIENCE = 60_000;

// Nothing of the surroundings may set up a connection differently for one of the
// modules (libpq tries TLS unless told otherwise), and drivers that read a date
// in local time agree with those that read it in UTC.
function childEnvironment() {
  const environment = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^PG(?!POOL_RS_NATIVE$)|^DB_|^DATABASE_URL$/.test(name)),
  );
  return { ...environment, TZ: 'UTC', PGSSLMODE: 'disable' };
}

class Contender {
  constructor(name) {
    this.name = name;
    this.version = 'unknown';
    this.operations = [];
    this.child = fork(path.join(__dirname, 'contender-process.js'), [name], {
      execArgv: ['--expose-gc'],
      env: childEnvironment(),
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
  }

  // Resolves with the reason when the module cannot be loaded.
  async load() {
    try {
      ({ version: this.version, operations: this.operations } = await this.call('load', undefined, PATIENCE));
      return undefined;
    } catch (error) {
      return error.code === 'MODULE_NOT_FOUND' ? 'not installed, or not built' : error.message.split('\n')[0];
    }
  }

  supports({ operation }) {
    return this.operations.includes(operation === 'connect' ? 'connectOnce' : operation);
  }

  check(config) {
    return this.call('check', { config }, PATIENCE);
  }

  measure(config, scenario, timing) {
    return this.call(
      'measure',
      { config, scenario, timing },
      (timing.seconds + timing.warmup) * 1_000 + PATIENCE,
    );
  }

  call(command, argument, limit) {
    return new Promise((resolve, reject) => {
      const settle = (finish) => {
        clearTimeout(timer);
        this.child.off('message', onMessage);
        this.child.off('exit', onExit);
        finish();
      };
      const onMessage = ({ value, error }) =>
        settle(() =>
          error ? reject(Object.assign(new Error(error.message), { code: error.code })) : resolve(value),
        );
      const onExit = (code, signal) =>
        settle(() => reject(new Error(`its process ended (${signal ?? code})`)));
      const timer = setTimeout(
        () => settle(() => reject(new Error(`no answer to "${command}" within ${limit / 1_000} s`))),
        limit,
      );
      this.child.on('message', onMessage);
      this.child.on('exit', onExit);
      if (this.child.connected) this.child.send({ command, argument });
      else onExit(this.child.exitCode, this.child.signalCode);
    });
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await ended;
  }
}

module.exports = { Contender };
