'use strict';

// The parent's side of a cluster's process. Rounds are run one after another; a round that broke says why.

const path = require('node:path');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { ISOLATED } = require('../../__test__/support/patroni/network');

class ClusterRun {
  #child;

  /** @param programs of __test__/support/patroni/programs.js */
  static async start(programs) {
    const run = new ClusterRun();
    try {
      await run.#call('open', { programs });
    } catch (error) {
      await run.stop();
      throw error;
    }
    return run;
  }

  constructor() {
    const words = [...ISOLATED, process.execPath];
    this.#child = fork(path.join(__dirname, 'cluster-process.js'), [], {
      execPath: words[0],
      execArgv: words.slice(1),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  /** @param {{ fault: string, prefix: string, contenders: string[], writers: number, haproxy?: string }} round */
  round(round) {
    return this.#call('round', round);
  }

  query(text, values) {
    return this.#call('query', { text, values });
  }

  async #call(command, argument) {
    const over = new AbortController();
    const { signal } = over;
    const ended = once(this.#child, 'exit', { signal }).then(([code, by]) => {
      throw new Error(`the cluster's process ended (${by ?? code})`);
    });
    try {
      const answer = once(this.#child, 'message', { signal });
      if (!this.#child.connected) throw new Error("the cluster's process has ended");
      this.#child.send({ command, argument });
      const [{ value, error }] = await Promise.race([answer, ended]);
      if (error !== undefined) throw new Error(error);
      return value;
    } finally {
      ended.catch(() => {});
      over.abort();
    }
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    await this.#call('close').catch(() => {});
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

module.exports = { ClusterRun };
