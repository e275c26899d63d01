'use strict';

// One round: a fault happens to the leader while writers write, the cluster becomes whole again, and what the writers
// were told is compared with what the servers hold.

const { setTimeout: sleep } = require('node:timers/promises');
const { now } = require('../bad-day/clock');
const { ContenderRun } = require('../bad-day/contender-run');
const { TEXTS, audit, readTable } = require('../bad-day/ledger');
const { until } = require('../../__test__/support/until');
const { Probe } = require('./probe');

const BEFORE = 2_000;
const AFTER = 4_000;
// Patroni takes 20 s to miss a leader.
const NEW_LEADER = 90_000;
// How long after the writers' end an answer may come: a tier waits for a connection for 30 s.
const PATIENCE = 40_000;
const LIMIT = 180_000;

const INSERT = `${TEXTS.insert} RETURNING host(inet_server_addr()) AS host`;

/**
 * @param cluster of __test__/support/patroni
 * @param fault of faults.js
 * @param {{ prefix: string, contenders: string[], writers: number, place?: object }} terms `writers` of each contender;
 *   `place`: where they connect, if not to the machines themselves
 * @returns {Promise<{ leaderless: number, cells: object[] }>} milliseconds until another machine took a write, and
 *   the figures of each contender
 */
async function runRound(cluster, fault, { prefix, contenders, writers, place = cluster.place }) {
  const roles = await cluster.whole();
  const probe = new Probe(cluster);
  const runs = contenders.map((contender) => {
    const keys = `${prefix}:${contender}:`;
    const texts = { ...TEXTS, insert: INSERT };
    const job = { contender, place, texts, writers, prefix: keys, warm: 10, patience: PATIENCE };
    // Behind a balancer it has to be said that a leader is wanted: for a moment it may lead to a standby.
    return new ContenderRun(job, { limit: LIMIT, env: { DB_TARGET_SESSION_ATTRS: 'read-write' } });
  });
  let isStruck = false;
  try {
    await Promise.all(runs.map((run) => run.open()));
    for (const run of runs) await run.start();
    await sleep(BEFORE);
    probe.start();
    await sleep(BEFORE);
    const struck = now();
    isStruck = true;
    await fault.strike(cluster, roles);
    const first = await until(() => probe.firstWriteBeside(roles.leader), {
      timeout: NEW_LEADER,
      what: 'another machine to take a write',
    });
    await sleep(AFTER);
    isStruck = false;
    await fault.heal(cluster, roles);
    const { leader } = await cluster.whole();
    await sleep(BEFORE);
    const records = await Promise.all(runs.map((run) => run.finish()));
    const query = (text, values) => cluster.query(leader, text, values);
    const cells = [];
    for (const [index, contender] of contenders.entries()) {
      const times = await readTable(query, `${prefix}:${contender}:`);
      cells.push({
        contender,
        ...figuresOf(records[index], times, { struck, first, left: roles.leader.address }),
      });
    }
    return { leaderless: first - struck, cells };
  } finally {
    // A round that broke half-way leaves the cluster to the next one.
    if (isStruck) await fault.heal(cluster, roles);
    await probe.stop();
    await Promise.all(runs.map((run) => run.stop()));
  }
}

/** `behind`: from the first write that the probe saw to the first that was acknowledged to the contender. */
function figuresOf(records, times, { struck, first, left }) {
  const settled = records.filter(({ ended }) => ended !== null);
  const failed = settled.filter(({ told }) => told !== 'done');
  const elsewhere = settled.filter(
    ({ told, host, ended }) => told === 'done' && host !== null && host !== left && ended > struck,
  );
  const reasons = {};
  for (const { error } of failed) reasons[error] = (reasons[error] ?? 0) + 1;
  return {
    behind: elsewhere.length === 0 ? null : Math.min(...elsewhere.map(({ ended }) => ended)) - first,
    acknowledged: settled.length - failed.length,
    failed: failed.length,
    ...audit(settled, times),
    hung: records.length - settled.length,
    longest: Math.max(0, ...settled.map(({ begun, ended }) => ended - begun)),
    reasons,
  };
}

module.exports = { runRound };
