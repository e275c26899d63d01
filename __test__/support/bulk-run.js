'use strict';

// Moves many rows in a process of its own (bulk.js) and tells what that process saw.

const { execFile } = require('node:child_process');
const path = require('node:path');
const { promisify } = require('node:util');
const { PATIENCE } = require('./patience');
const { config } = require('./server');

/** @returns {Promise<{ rows: number, sum: number, growth: number }>} growth in bytes of resident memory */
async function bulk(task, rows) {
  const script = path.join(__dirname, 'bulk.js');
  const args = ['--expose-gc', script, task, JSON.stringify(config()), String(rows)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 2 * PATIENCE });
  return JSON.parse(stdout);
}

module.exports = { bulk };
