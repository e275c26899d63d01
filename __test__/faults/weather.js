'use strict';

// The faults of a storm, each with how often it comes. A fault begins, lasts, and has cleared up when
// its promise settles. `sky` is what it may touch: the proxies, the server, a list of its notes.

const fs = require('node:fs');
const { setTimeout: pause } = require('node:timers/promises');
const { Client } = require('pg');

const TO_SERVER = ['Q', 'P', 'B', 'E', 'S', 'p'];
const TO_CLIENT = ['R', 'K', '1', '2', 'T', 'D', 'C', 'Z', 'n'];
const DIRECTIONS = ['toServer', 'toClient'];

/** The processes below `pid`, itself included. */
function family(pid) {
  const all = [pid];
  for (const parent of all) {
    try {
      const children = fs.readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8');
      all.push(...children.trim().split(/\s+/).filter(Boolean).map(Number));
    } catch {
      // It has ended.
    }
  }
  return all;
}

function signal(pids, name) {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

/** Runs one statement past the proxies; null when the server does not answer. */
async function directly({ server }, sql) {
  const { host, port, user, password, database } = server;
  const client = new Client({
    host,
    port,
    user,
    password,
    database,
    application_name: 'weather',
    connectionTimeoutMillis: 3000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query(sql)).rows;
  } catch {
    return null;
  } finally {
    await Promise.race([client.end().catch(() => {}), pause(1000)]);
  }
}

const BACKENDS = "FROM pg_stat_activity WHERE application_name = 'storm'";

const faults = {
  cut: {
    weight: 10,
    async act({ proxies }, chance) {
      chance.pick(proxies).cut(chance.pick(['reset', 'fin']));
    },
  },
  cutAtMessage: {
    weight: 25,
    async act({ plain }, chance) {
      const direction = chance.pick(DIRECTIONS);
      const type = chance.pick(direction === 'toServer' ? TO_SERVER : TO_CLIENT);
      const options = {
        how: chance.pick(['reset', 'fin']),
        after: chance.isTrue(0.5),
        nth: chance.between(1, 4),
      };
      for (let i = chance.between(1, 3); i > 0; i--) plain.cutOnMessage(direction, type, options);
      await pause(chance.between(100, 1000));
      plain.disarm();
    },
  },
  cutAtByte: {
    weight: 10,
    async act({ proxies }, chance) {
      const proxy = chance.pick(proxies);
      proxy.cut('reset');
      for (let i = chance.between(1, 3); i > 0; i--) {
        proxy.cutAfterBytes(chance.pick(DIRECTIONS), chance.between(0, 6000), chance.pick(['reset', 'fin']));
      }
      await pause(chance.between(100, 1000));
      proxy.disarm();
    },
  },
  stall: {
    weight: 10,
    async act({ proxies }, chance) {
      const proxy = chance.pick(proxies);
      const direction = chance.pick([...DIRECTIONS, undefined]);
      proxy.stall(direction);
      await pause(chance.between(100, 4000));
      if (chance.isTrue(0.3)) proxy.cut('reset');
      proxy.resume(direction);
    },
  },
  stallAtMessage: {
    weight: 8,
    async act({ plain }, chance) {
      const direction = chance.pick(DIRECTIONS);
      plain.when(
        { direction, message: chance.pick(direction === 'toServer' ? TO_SERVER : TO_CLIENT) },
        'stall',
      );
      await pause(chance.between(500, 4000));
      plain.disarm();
      plain.resume();
    },
  },
  slow: {
    weight: 5,
    async act({ proxies }, chance) {
      const proxy = chance.pick(proxies);
      proxy.delay(chance.between(1, 100));
      await pause(chance.between(200, 2000));
      proxy.delay(0);
    },
  },
  // On a plain connection only damage that cannot pass for another answer: the type of a message.
  corruptType: {
    weight: 6,
    async act({ plain }, chance) {
      plain.when({ direction: 'toClient', message: chance.pick(TO_CLIENT) }, (link, lane) =>
        lane.editNext((bytes) => (bytes[0] ^= 0xff)),
      );
      await pause(chance.between(100, 1000));
      plain.disarm();
    },
  },
  corruptByte: {
    weight: 6,
    async act({ secure }, chance) {
      secure.cut('reset');
      secure.corruptByte(chance.pick(DIRECTIONS), chance.between(8, 8000), 1 << chance.between(0, 7));
      await pause(chance.between(100, 1000));
      secure.disarm();
    },
  },
  halfClose: {
    weight: 6,
    async act({ proxies }, chance) {
      chance.pick(proxies).halfClose(chance.pick(DIRECTIONS));
    },
  },
  refuse: {
    weight: 4,
    async act({ proxies }, chance) {
      const proxy = chance.pick(proxies);
      await proxy.refuse();
      proxy.cut('reset');
      await pause(chance.between(100, 2000));
      await proxy.listen();
    },
  },
  terminate: {
    weight: 8,
    act: (sky, chance) =>
      directly(sky, `SELECT pg_terminate_backend(pid) ${BACKENDS} AND pid % ${chance.between(1, 4)} = 0`),
  },
  cancel: {
    weight: 4,
    act: (sky, chance) =>
      directly(sky, `SELECT pg_cancel_backend(pid) ${BACKENDS} AND pid % ${chance.between(1, 3)} = 0`),
  },
  killBackend: {
    weight: 3,
    async act(sky) {
      const rows = await directly(sky, `SELECT pid ${BACKENDS} ORDER BY random() LIMIT 1`);
      if (rows)
        signal(
          rows.map((row) => row.pid),
          'SIGKILL',
        );
    },
  },
  restart: {
    weight: 3,
    async act({ server }, chance) {
      await server.restart(chance.pick(['immediate', 'immediate', 'fast']));
    },
  },
  freeze: {
    weight: 4,
    async act({ server }, chance) {
      const pids = family(server.pid);
      signal(pids, 'SIGSTOP');
      await pause(chance.between(200, 3000));
      signal(pids, 'SIGCONT');
    },
  },
  crowd: {
    weight: 3,
    async act({ server }, chance) {
      const { host, port, user, password, database } = server;
      const hogs = [];
      for (let i = 0; i < 60; i++) {
        const hog = new Client({ host, port, user, password, database, connectionTimeoutMillis: 3000 });
        hog.on('error', () => {});
        const isIn = await hog.connect().then(
          () => true,
          () => false,
        );
        if (!isIn) break;
        hogs.push(hog);
      }
      await pause(chance.between(200, 2000));
      await Promise.race([Promise.all(hogs.map((hog) => hog.end().catch(() => {}))), pause(3000)]);
    },
  },
};

const weights = Object.fromEntries(Object.entries(faults).map(([name, { weight }]) => [name, weight]));

/** Lets faults happen, on average one every `every` milliseconds, until `isOver()`. Returns how many of each. */
async function blow(sky, chance, { every, isOver, tell }) {
  const counts = {};
  while (!isOver()) {
    await pause(chance.between(0, 2 * every) * (every > 500 ? 0.7 : 1));
    if (isOver()) break;
    const name = chance.weighted(weights);
    tell?.(name);
    await faults[name].act(sky, chance);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

module.exports = { blow, faults };
