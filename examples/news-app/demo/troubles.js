// The troubles that a visitor can cause, the same for both applications at the same time, and how many requests of
// readers failed in each. One at a time; it is counted until a while after its end, when late failures have come.

'use strict';

const { Client } = require('pg');

const OUTAGE_MILLIS = 8000;
const LOCK_MILLIS = 12000;
const REPORTS = 40;
// A day without news: the report is quick, and then waits for the lock.
const REPORT_DAY = '2019-01-01';
const FLOOD = { readers: 150, millis: 10000 };
const SETTLE_MILLIS = 5000;
const LOG_KEPT = 12;

const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

const TROUBLES = {
  stop: {
    title: 'Stop the database',
    text: 'It crashes, is away for 8 seconds, and comes back.',
    needsServer: true,
    async run({ server, pause }) {
      server.kill('SIGQUIT');
      await server.exited();
      try {
        await pause(OUTAGE_MILLIS);
      } finally {
        await server.start();
      }
    },
  },
  connections: {
    title: 'Lose the connections',
    text: 'The server ends every session of both applications, as at a failover.',
    async run({ ask }) {
      await ask(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND application_name LIKE 'news-app%'`,
      );
    },
  },
  reports: {
    title: 'Slow reports',
    text: '40 reports wait for a lock for 12 seconds, each with a connection.',
    async run({ ask, applications, pause }) {
      const locker = await ask.connect();
      try {
        await locker.query('BEGIN; LOCK TABLE news.report_runs IN EXCLUSIVE MODE');
        const reports = applications.map(({ load }) => load.runReports(REPORTS, REPORT_DAY));
        await pause(LOCK_MILLIS);
        await locker.query('ROLLBACK');
        await Promise.all(reports);
      } finally {
        await locker.end();
      }
    },
  },
  flood: {
    title: 'A flood of readers',
    text: '150 more readers come for 10 seconds.',
    async run({ applications, pace }) {
      const { readers, millis } = FLOOD;
      await Promise.all(applications.map(({ load }) => load.flood(readers, millis * pace)));
    },
  },
};

class Troubles {
  running = null;
  log = [];
  #stopped = false;
  #wake = () => {};
  #ended = Promise.resolve();

  // `server`: the embedded PostgreSQL, or null; `database`: how to connect to it; `pace` scales the pauses, for tests.
  constructor({ applications, server, database, pace = 1 }) {
    this.applications = applications;
    this.server = server;
    this.database = database;
    this.pace = pace;
  }

  // What there is to cause; `reason`: why it cannot be.
  list() {
    return Object.entries(TROUBLES).map(([name, { title, text, needsServer }]) => ({
      name,
      title,
      text,
      reason: needsServer && !this.server ? 'the database is not of this demonstration' : null,
    }));
  }

  // False: there is no such trouble, or one is under way.
  cause(name) {
    const known =
      Object.hasOwn(TROUBLES, name) && !this.list().find((trouble) => trouble.name === name).reason;
    if (!known || this.running !== null || this.#stopped) return false;
    const trouble = TROUBLES[name];
    const entry = {
      name,
      title: trouble.title,
      at: Date.now(),
      endedAt: null,
      error: null,
      isCounted: false,
      counts: {},
    };
    this.running = entry;
    this.log.unshift(entry);
    this.log.splice(LOG_KEPT);
    this.#ended = this.#run(trouble, entry).finally(() => {
      this.running = null;
    });
    return true;
  }

  async #run(trouble, entry) {
    const before = this.applications.map(({ load }) => load.counts);
    const count = () => this.#count(entry, before);
    const counting = setInterval(count, 500);
    try {
      await trouble.run({
        applications: this.applications,
        server: this.server,
        pace: this.pace,
        ask: this.#asker(),
        pause: (millis) => this.#pause(millis),
      });
    } catch (err) {
      entry.error = err.message;
    }
    entry.endedAt = Date.now();
    await this.#pause(SETTLE_MILLIS);
    clearInterval(counting);
    count();
    entry.isCounted = true;
  }

  #count(entry, before) {
    this.applications.forEach(({ name, seconds, load }, i) => {
      const then = before[i];
      const during = seconds.filter(({ at }) => at > entry.at);
      const slowest = Math.max(0, ...during.map(({ readers }) => readers.p95 ?? 0));
      entry.counts[name] = {
        answered: load.counts.answered - then.answered,
        failed: load.counts.failed - then.failed,
        slowest,
      };
    });
  }

  #asker() {
    const connect = async () => {
      const client = new Client(this.database);
      client.on('error', () => {});
      await client.connect();
      return client;
    };
    const ask = async (sql) => {
      const client = await connect();
      try {
        return await client.query(sql);
      } finally {
        await client.end();
      }
    };
    return Object.assign(ask, { connect });
  }

  // Cut short by the end of the demonstration.
  async #pause(millis) {
    if (this.#stopped) return;
    await Promise.race([sleep(millis * this.pace), new Promise((resolve) => (this.#wake = resolve))]);
  }

  async stop() {
    this.#stopped = true;
    this.#wake();
    await this.#ended;
  }
}

module.exports = { Troubles };
