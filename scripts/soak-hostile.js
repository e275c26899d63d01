'use strict';

// The long form of the attacks in __test__/faults/hostile-*: by a server and by values, in turn, a minute each, in a process
// of its own with a seed of its own. What an attack finds is told at once, with the line that repeats it.

const { writeMarkdown } = require('../bench/markdown-file');
const { attacked } = require('../__test__/faults/hostile-attack');
const { startPostgres } = require('../__test__/support/postgres');

const SIDES = ['server', 'values'];
const SECONDS = 60;
const FINDINGS = ['leaks', 'wrong', 'hung', 'uncaught'];

/** How many calls one attack made, and what it found. That a process did not live through it is a finding. */
async function attack(side, seed, seconds) {
  try {
    const report = await attacked(side, seed, seconds);
    return {
      calls: report.calls,
      found: FINDINGS.flatMap((kind) => (report[kind] ?? []).map((what) => ({ [kind]: what }))),
    };
  } catch (error) {
    return { calls: 0, found: [{ ended: error.message }] };
  }
}

/**
 * @param {{ minutes: number, seed: number, markdown?: string }} options `seed`: of the first attacks
 * @param {(figures: object[]) => string} table makes a table of figures, a row each
 * @returns whether nothing was found
 */
async function soakHostile({ minutes, seed, markdown }, table) {
  const postgres = await startPostgres();
  // As in a run of jest: values are sent to a real server.
  process.env.PGPOOL_TEST_SERVER = JSON.stringify(postgres);
  const figures = SIDES.map((side) => ({ 'attack by': side, minutes: 0, calls: 0, found: 0 }));
  const end = Date.now() + minutes * 60_000;
  try {
    for (let turn = 0; Date.now() < end; turn++) {
      const [side, own] = [SIDES[turn % SIDES.length], figures[turn % SIDES.length]];
      const round = seed + Math.floor(turn / SIDES.length);
      const { calls, found } = await attack(side, round, SECONDS);
      console.log(`${side}, seed ${round}: ${calls} calls, ${found.length} found`);
      own.minutes += SECONDS / 60;
      own.calls += calls;
      own.found += found.length;
      if (found.length === 0) continue;
      console.error(JSON.stringify(found, null, 2));
      console.error(
        `HOSTILE_SECONDS=${SECONDS} HOSTILE_SEED=${round} npx jest __test__/faults/hostile-${side}`,
      );
    }
  } finally {
    await postgres.stop('fast');
  }
  if (markdown) writeMarkdown(markdown, table(figures), 'hostile');
  return figures.every(({ found }) => found === 0);
}

module.exports = { soakHostile };
