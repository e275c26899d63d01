// Runs one program at a time and keeps hold of it, so that an interrupted bench
// leaves none behind. Its error is what it printed to stderr, not its command
// line.
'use strict';

const { execFile } = require('node:child_process');
const { promisify } = require('node:util');

const OUTPUT_LIMIT = 64 * 1024 * 1024;

class Program {
  async run(file, words, options) {
    const running = promisify(execFile)(file, words, { ...options, maxBuffer: OUTPUT_LIMIT });
    this.child = running.child;
    try {
      return (await running).stdout;
    } catch (error) {
      throw new Error(error.stderr ? error.stderr.trim() : `it ended with ${error.signal ?? error.code}`, {
        cause: error,
      });
    } finally {
      this.child = undefined;
    }
  }

  stop() {
    if (this.child) this.child.kill('SIGKILL');
  }
}

module.exports = { Program };
