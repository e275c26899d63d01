'use strict';

// The network fails while the server is well: it loses packets, forgets connections, or cannot find the server's name.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { errorResponse } = require('../../../__test__/support/backend-messages');
const { listen } = require('../../../__test__/support/ports');
const { throughProxy } = require('../stage');

const NAME = 'database.test';
const RESOLVED = `127.0.0.1 localhost ${NAME}\n`;
const UNRESOLVED = '127.0.0.1 localhost\n';

/** The proxy's port is taken by one who answers each connect with the server's "starting up". */
async function answerStartingUp(stage) {
  const { front } = stage;
  const message = 'the database system is starting up';
  const answer = errorResponse({ severity: 'FATAL', code: '57P03', message });
  stage.starting = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(answer));
  });
  await front.refuse();
  front.cut();
  await listen(stage.starting, front.port);
}

async function serveAgain({ front, starting }) {
  await new Promise((resolve) => starting.close(resolve));
  await front.listen();
}

/** Lists of hosts and name servers of this row's own; nobody listens where it looks for a name server. */
async function resolveByName(stage) {
  await throughProxy()(stage);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bad-day-'));
  stage.later(() => fs.rmSync(directory, { recursive: true, force: true }));
  stage.hostsFile = path.join(directory, 'hosts');
  const resolverFile = path.join(directory, 'resolv.conf');
  fs.writeFileSync(stage.hostsFile, RESOLVED);
  fs.writeFileSync(resolverFile, 'nameserver 127.0.0.1\n');
  for (const [file, place] of [
    [stage.hostsFile, '/etc/hosts'],
    [resolverFile, '/etc/resolv.conf'],
  ]) {
    execFileSync('mount', ['--bind', file, place]);
    stage.later(() => void execFileSync('umount', [place]));
  }
  stage.placeAt({ host: NAME, port: stage.front.port });
}

const forgotten = {
  open: throughProxy(),
  // Those that are there now; others are made as before.
  strike({ front }) {
    for (const link of front.links) link.stall();
  },
  heal() {},
};

const NETWORK = [
  {
    name: 'starting-5s',
    title: 'Server says that it is starting up, for 5 s',
    story: 'After a crash the server replays its log: connects are accepted and answered with 57P03 for 5 s.',
    terms: { down: 5 },
    quick: { down: 3 },
    open: throughProxy(),
    strike: answerStartingUp,
    heal: serveAgain,
  },
  {
    name: 'silent-5s',
    title: 'A host that accepts and never answers, for 5 s',
    story:
      'The host behind the address is replaced by one that accepts connections and says nothing; after 5 s a working one is back.',
    terms: { down: 5 },
    quick: { down: 3 },
    open: throughProxy(),
    strike({ front }) {
      front.cut();
      front.stall();
    },
    heal({ front }) {
      front.resume();
      front.cut();
    },
  },
  {
    name: 'partition-5s',
    title: 'A network partition of 5 s',
    story: 'For 5 s nothing gets through in either direction; then all of it arrives, late.',
    terms: { down: 5 },
    quick: { down: 3 },
    open: throughProxy(),
    strike: ({ front }) => front.stall(),
    heal: ({ front }) => front.resume(),
  },
  {
    ...forgotten,
    name: 'forgotten',
    title: 'A firewall has forgotten all connections',
    story:
      'What is sent on the connections that are there vanishes without an answer, as after a restart of a firewall; new ones work.',
    terms: { down: 0, after: 12 },
    quick: { after: 6 },
  },
  {
    ...forgotten,
    name: 'forgotten-timeout',
    title: 'A firewall has forgotten all connections, `query_timeout: 500`, at most 10 connections',
    story: 'The same, for an application that waits half a second for each answer.',
    terms: { down: 0, after: 12 },
    quick: { after: 6 },
    options: { max: 10 },
    env: { DB_HIGH_PRIORITY_MAX: '10' },
    queryOptions: { query_timeout: 500 },
  },
  {
    name: 'dns-5s',
    title: "The server's name cannot be found for 5 s",
    story: 'Connections are reset, and for 5 s nobody can look up the name of the server.',
    terms: { down: 5 },
    quick: { down: 3 },
    needsIsolation: true,
    open: resolveByName,
    strike({ front, hostsFile }) {
      fs.writeFileSync(hostsFile, UNRESOLVED);
      front.cut();
    },
    heal: ({ hostsFile }) => fs.writeFileSync(hostsFile, RESOLVED),
  },
];

module.exports = { NETWORK };
