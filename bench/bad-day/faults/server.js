'use strict';

// The server's processes end or stand still: a planned restart, a crash, a machine that hangs.

const { sleep } = require('../clock');
const { signalAll, standStill } = require('../processes');
const { directly } = require('../stage');

async function shutDown({ server }) {
  server.kill('SIGINT');
  await server.exited();
}

async function crash({ server }) {
  server.kill('SIGKILL');
  await server.exited();
}

const restart = { open: directly(), strike: shutDown, heal: ({ server }) => server.start() };
const killed = { ...restart, strike: crash };

const SERVER = [
  {
    ...restart,
    name: 'restart-3s',
    title: 'Server restart, down for 3 s',
    story:
      'A planned restart: sessions are told that the server shuts down (57P01), and for 3 s nobody listens.',
    terms: { down: 3 },
  },
  {
    ...restart,
    name: 'restart-12s',
    title: 'Server restart, down for 12 s',
    story: 'A planned restart with a slow shutdown or start: for 12 s nobody listens.',
    terms: { down: 12 },
    quick: { down: 6 },
  },
  {
    ...killed,
    name: 'killed',
    title: 'Server killed, back after 0.2 s',
    story: 'The postmaster is killed (SIGKILL, out of memory); it is started again 0.2 s later.',
    terms: { down: 0.2 },
  },
  {
    ...killed,
    name: 'killed-4s-rate-100',
    title: 'Server killed under 100 requests a second, down for 4 s',
    story: 'The postmaster is killed while 100 requests a second arrive, and started again 4 s later.',
    terms: { down: 4, rate: 100 },
  },
  {
    ...killed,
    name: 'killed-12s-rate-100',
    title: 'Server killed under 100 requests a second, down for 12 s',
    story: 'The same, down for 12 s.',
    terms: { down: 12, rate: 100 },
    quick: { down: 6 },
  },
  {
    name: 'stopped-30s',
    title: 'All server processes stand still for 30 s',
    story:
      'The machine of the server is suspended or starved for 30 s (SIGSTOP): its kernel still accepts connections, nobody answers.',
    terms: { down: 30, after: 8 },
    quick: { down: 8 },
    skip: () => process.platform !== 'linux' && 'the processes of a server are found on Linux only',
    open: directly(),
    strike: (stage) => standStill(stage, stage.server),
    heal: ({ server }) => signalAll(server, 'SIGCONT'),
  },
  {
    ...restart,
    name: 'restart-lent',
    title: 'Server restart, down for 3 s, while 8 of 10 connections are lent',
    story:
      'The application holds 8 clients of a pool of 10 for 6 s, from just before a restart until after it.',
    terms: { down: 3 },
    options: { max: 10 },
    env: { DB_HIGH_PRIORITY_MAX: '10' },
    async strike(stage, run) {
      await run.lend(8, 6_000);
      await sleep(200);
      await shutDown(stage);
    },
  },
  {
    name: 'idle-restart',
    title: 'Server restart while nobody asks',
    story:
      'At night the server is restarted, down for 3 s, while no request arrives; the first comes a second later.',
    terms: { down: 3, after: 4 },
    open: directly(),
    async strike(stage, run) {
      await run.pause();
      await sleep(200);
      await shutDown(stage);
    },
    async heal({ server }, run) {
      await server.start();
      await sleep(1_000);
      await run.start();
    },
  },
];

module.exports = { SERVER };
