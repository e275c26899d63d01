'use strict';

// The process that keeps a Patroni cluster, in a network and process namespace of its own. It gets the programs, then the
// rounds from its parent one after another, and ends with it; everything that it started ends with the namespace.

const { Cluster } = require('../../__test__/support/patroni/cluster');
const { startHaproxy } = require('../../__test__/support/patroni/haproxy');
const { CREATE } = require('../bad-day/ledger');
const { FAULTS } = require('./faults');
const { runRound } = require('./round');

let cluster;

const COMMANDS = {
  async open({ programs }) {
    cluster = await Cluster.start(programs);
    const { leader } = await cluster.roles();
    await cluster.query(leader, CREATE);
  },
  /** `haproxy`: its program, where writers are to connect through one. */
  async round({ fault, haproxy, ...terms }) {
    const front = haproxy && startHaproxy(haproxy, cluster);
    const place = front && { ...cluster.place, hosts: [{ host: front.host, port: front.port }] };
    try {
      const chosen = FAULTS.find(({ name }) => name === fault);
      return await runRound(cluster, chosen, { ...terms, ...(place && { place }) });
    } finally {
      front?.stop();
    }
  },
  /** On the server of the leader. */
  async query({ text, values }) {
    const { leader } = await cluster.roles();
    const { rows } = await cluster.query(leader, text, values);
    return { rows };
  },
  close: () => cluster?.stop(),
};

process.on('message', async ({ command, argument }) => {
  try {
    process.send({ value: await COMMANDS[command](argument) });
  } catch (error) {
    process.send({ error: error.stack });
  }
});
process.on('disconnect', () => process.exit());
