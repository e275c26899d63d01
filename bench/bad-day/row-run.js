'use strict';

// The parent's side of a row's process: starts it, in a network of its own where that can be had, and bounds its time.

const path = require('node:path');
const { fork } = require('node:child_process');
const { NAMES } = require('./contenders');

// More than a row takes in which every contender hangs as long as it may.
const MOST_MILLIS_PER_CONTENDER = 120_000;

class RowRun {
  #child = null;

  /**
   * @param row of rows.js
   * @param {object} options those of `runRow` that are plain data
   * @param {string[]} namespaces of isolation.js
   * @param {(cell: object) => void} tell called with each cell
   * @returns {Promise<{ row: string, cells: object[] } | { row: string, broken: string }>}
   */
  async run(row, options, namespaces, tell) {
    const words = [...namespaces, process.execPath];
    const child = fork(path.join(__dirname, 'row-process.js'), [], {
      execPath: words[0],
      execArgv: words.slice(1),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    const cells = [];
    return new Promise((resolve) => {
      const broken = (why) => resolve({ row: row.name, cells, broken: why });
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        broken('it took too long');
      }, MOST_MILLIS_PER_CONTENDER * NAMES.length);
      child.on('message', ({ cell, result, error }) => {
        if (cell) {
          cells.push(cell);
          tell(cell);
        } else if (result) resolve(result);
        else broken(error);
      });
      child.on('exit', (code, signal) => {
        clearTimeout(timer);
        broken(`its process ended (${signal ?? code})`);
      });
      child.send({ name: row.name, options: { ...options, isIsolated: namespaces.length > 0 } });
    });
  }

  stop() {
    this.#child?.kill('SIGKILL');
  }
}

module.exports = { RowRun };
