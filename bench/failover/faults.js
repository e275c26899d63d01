'use strict';

// What happens to the leader of a Patroni cluster. A fault has
//
//   name, title, story      what it is called, and what happens, for an operator
//   strike(cluster, roles)  begins it; `roles` are those before
//   heal(cluster, roles)    ends it, after another machine leads; the cluster becomes whole by itself

const FAULTS = [
  {
    name: 'kill',
    title: 'The leader is killed',
    story: 'All processes of its machine are killed, Patroni too; its kernel resets connections.',
    strike: (_, { leader }) => leader.kill(),
    heal: (cluster, { leader }) => cluster.startNode(leader),
  },
  {
    name: 'switchover',
    title: 'A switchover',
    story: 'Patroni is asked for a switchover to the synchronous standby: the leader shuts down first.',
    strike: (cluster, roles) => cluster.handOver('switchover', roles),
    heal: () => {},
  },
  {
    name: 'failover',
    title: 'A failover by hand',
    story: 'Patroni is asked for a failover to the synchronous standby, without a word about the leader.',
    strike: (cluster, roles) => cluster.handOver('failover', roles),
    heal: () => {},
  },
  {
    name: 'freeze',
    title: 'The leader stands still',
    story:
      'All processes of its machine are stopped (SIGSTOP), Patroni too; its kernel goes on taking connections and bytes. They go on after another one leads.',
    strike: (_, { leader }) => leader.freeze(),
    heal: (_, { leader }) => leader.thaw(),
  },
  {
    name: 'cut',
    title: 'The leader is cut off',
    story:
      'What is sent to its machine or by it vanishes, to and from etcd and the application alike. Its network is back after another one leads.',
    strike: (_, { leader }) => leader.cut(),
    heal: (_, { leader }) => leader.connect(),
  },
];

function chooseFaults(names) {
  if (names === undefined) return FAULTS;
  const unknown = names.filter((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown.length > 0)
    throw new Error(`--faults knows ${FAULTS.map(({ name }) => name).join(', ')}; not ${unknown.join(', ')}`);
  return FAULTS.filter(({ name }) => names.includes(name));
}

module.exports = { FAULTS, chooseFaults };
