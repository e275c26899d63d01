'use strict';

// Runs an attack in a process of its own, as long and with the seed that the environment says.

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { PATIENCE } = require('../support/patience');

const seconds = Number(process.env.HOSTILE_SECONDS) || 10;
const seeds = process.env.HOSTILE_SEED ? [Number(process.env.HOSTILE_SEED)] : [1, 2, 3];

if (typeof jest !== 'undefined') jest.setTimeout(seconds * 1000 + 3 * PATIENCE);

/**
 * @param {'server' | 'values'} side that attacks
 * @returns its report; a process that does not live through it is an error
 */
async function attacked(side, seed, duration = seconds) {
  const file = path.join(__dirname, 'hostile-run.js');
  const args = ['--no-deprecation', file, side, String(seed), String(duration)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 28 });
  return JSON.parse(stdout);
}

module.exports = { attacked, seeds, seconds };
