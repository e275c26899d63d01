'use strict';

// The parent's side of a contender's process. A contender that dies or does not answer in time is an error of
// that contender, and its process is killed.

const path = require('node:path');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { tierEnvironment } = require('./contenders');

// Nothing of the surroundings may set up a connection.
function childEnvironment(own) {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^PG(?!POOL_RS_NATIVE$)|^DB_|^DATABASE_URL$|^JEST_/.test(name),
  );
  return { ...Object.fromEntries(kept), ...own };
}

class ContenderRun {
  #child;
  #calls = new Map();
  #next = 0;
  #said = '';
  #limit;

  /**
   * @param {object} job what the process opens: `contender`, `place`, `texts`, `rate`, `prefix`, `warm`, `patience`
   * @param {{ limit: number, env?: object, wrap?: string[] }} options `limit`: milliseconds an answer may take;
   *   `wrap`: a command that starts the process, as `prlimit --nofile=40`
   */
  constructor(job, { limit, env, wrap = [] }) {
    this.#limit = limit;
    const words = [...wrap, process.execPath];
    this.#child = fork(path.join(__dirname, 'contender-process.js'), [], {
      execPath: words[0],
      execArgv: words.slice(1),
      env: childEnvironment({ ...tierEnvironment(job.place), ...env }),
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr.on('data', (chunk) => (this.#said = (this.#said + chunk).slice(-2000)));
    this.#child.on('message', ({ id, value, error }) => {
      const call = this.#calls.get(id);
      if (error === undefined) call?.resolve(value);
      else call?.reject(new Error(error));
    });
    this.#child.on('exit', (code, signal) => {
      const reason = new Error(`its process ended (${signal ?? code}): ${this.#said.trim()}`);
      for (const { reject } of this.#calls.values()) reject(reason);
    });
    this.job = job;
  }

  open() {
    return this.#call('open', this.job);
  }

  start() {
    return this.#call('start');
  }

  pause() {
    return this.#call('pause');
  }

  burst(count) {
    return this.#call('burst', count);
  }

  /** Takes so many clients out of the pool for so long. */
  lend(count, millis) {
    return this.#call('lend', { count, millis });
  }

  /** One request beside the load: `{ took, error }`. `kind`: read, insert or transaction. */
  ask(kind) {
    return this.#call('ask', kind);
  }

  /** What became of each request. */
  finish() {
    return this.#call('finish');
  }

  async #call(command, argument) {
    const id = this.#next++;
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        this.#calls.set(id, { resolve, reject });
        const late = () => reject(new Error(`no answer to "${command}" within ${this.#limit} ms`));
        timer = setTimeout(late, this.#limit);
        if (this.#child.connected) this.#child.send({ id, command, argument });
        else reject(new Error(`its process has ended: ${this.#said.trim()}`));
      });
    } finally {
      clearTimeout(timer);
      this.#calls.delete(id);
    }
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

module.exports = { ContenderRun };
