'use strict';

// One row of the scoreboard: its fault happens to each contender in turn, on the same server, unless the fault is of
// a kind that leaves no server to go on with.

const { now, sleep } = require('./clock');
const { connectsBegun } = require('./connect-count');
const { ContenderRun } = require('./contender-run');
const { NAMES } = require('./contenders');
const { figuresOf } = require('./figures');
const { TEXTS, readTable } = require('./ledger');
const { Stage } = require('./stage');

const DEFAULTS = { before: 1.5, down: 1, after: 6, rate: 40, writes: 0.25, warm: 10 };
const QUICK = { before: 0.7, after: 3 };
// How long after the load's end an answer may come.
const PATIENCE = 12_000;
// What a contender's process may take beyond that.
const SLACK = 15_000;

function termsOf(row, { quick, ...overrides } = {}) {
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
  return { ...DEFAULTS, ...row.terms, ...(quick && { ...QUICK, ...row.quick }), ...given };
}

/** How long the load of all contenders lasts. */
function secondsOf(row, options) {
  const { before, down, after } = termsOf(row, options);
  return (before + down + after) * (row.contenders ?? NAMES).length;
}

async function runContender(row, contender, stage, terms) {
  const prefix = `${contender}:`;
  const place = { ...stage.place, options: row.options, queryOptions: row.queryOptions };
  const job = { contender, place, prefix, texts: { ...TEXTS, ...row.texts }, patience: PATIENCE, ...terms };
  const limit = (terms.before + terms.down + terms.after) * 1000 + PATIENCE + SLACK;
  const run = new ContenderRun(job, { limit, env: { ...row.env, ...terms.env }, wrap: row.wrap });
  try {
    await row.prepare?.(stage, terms);
    await run.open();
    await run.start();
    await sleep(terms.before * 1000);
    const before = connectsBegun(stage.isIsolated);
    const down = now();
    await row.strike(stage, run, terms);
    await sleep(terms.down * 1000);
    await row.heal(stage, run, terms);
    const up = now();
    const opened = before === null ? null : connectsBegun(stage.isIsolated) - before;
    await sleep(terms.after * 1000);
    const records = await run.finish();
    const over = now();
    await row.afterwards?.(stage);
    const times = await readTable((text, values) => stage.query(text, values), prefix);
    return { contender, ...figuresOf(records, { down, up, over, opened, times }) };
  } catch (error) {
    return { contender, broken: error.message };
  } finally {
    // The proxy first: it resets, and then no local port stays taken.
    stage.front?.resume();
    stage.front?.cut();
    await run.stop();
  }
}

/**
 * @param row of rows.js
 * @param {{ contenders?: string[], quick?: boolean, isIsolated?: boolean, tell?: (cell: object) => void }} options
 *   and those of `terms` that are to be others
 * @returns {Promise<{ row: string, cells: object[] }>} a cell has the figures of a contender, or `broken`
 */
async function runRow(row, { contenders, isIsolated = false, tell = () => {}, ...options } = {}) {
  const names = NAMES.filter((name) => (row.contenders ?? NAMES).includes(name));
  const chosen = names.filter((name) => contenders === undefined || contenders.includes(name));
  const terms = termsOf(row, options);
  const cells = [];
  let stage = null;
  try {
    for (const contender of chosen) {
      if (stage === null) {
        stage = new Stage({ isIsolated });
        await row.open(stage);
      }
      const cell = await runContender(row, contender, stage, terms);
      cells.push(cell);
      tell(cell);
      // A fault that broke half-way leaves nobody knows what.
      if (row.isFinal || cell.broken) {
        await stage.close();
        stage = null;
      }
    }
  } finally {
    await stage?.close();
  }
  return { row: row.name, cells };
}

module.exports = { runRow, secondsOf };
