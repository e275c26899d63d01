// One of the two applications of the demonstration: the newspaper in a process of its own, the load on it, and what
// became of the load, second by second.

'use strict';

const path = require('node:path');
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { Load } = require('../load');
const { LineLimit } = require('./line-limit');

const SERVER = path.join(__dirname, '..', 'server.js');
const HOST = '127.0.0.1';
const STOP_LIMIT = 7000;
const SECONDS_KEPT = 90;

class Application {
  seconds = [];
  url = null;
  live = null;
  load = null;

  // `env` beside that of this process; `say` writes a line to the console.
  constructor({ name, title, env, say }) {
    this.name = name;
    this.title = title;
    this.env = env;
    this.lines = new LineLimit((line) => say(`${name}: ${line}`));
  }

  async start() {
    // Signals go to the whole group of a terminal; who stops the applications is this process.
    const child = fork(SERVER, {
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    this.child = child;
    this.exited = once(child, 'exit');
    child.stdout.on('data', () => {});
    child.stderr.setEncoding('utf8').on('data', (text) => this.lines.take(text));
    const ready = once(child, 'message').then(([message]) => Object.assign(this, message));
    const ended = this.exited.then(() => {
      if (this.url === null) throw new Error(`the newspaper on ${this.name} did not start`);
    });
    await Promise.race([ready, ended]);
  }

  startLoad(articles) {
    this.load = new Load({ host: HOST, port: new URL(this.url).port, articles });
    this.load.start();
  }

  // What the load did since it began; the latencies are those of the last second.
  sample(at) {
    const { readers, reports } = this.load.take();
    this.seconds.push({ at, readers, reports });
    if (this.seconds.length > SECONDS_KEPT) this.seconds.shift();
  }

  async stop() {
    if (this.load) await this.load.stop();
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return;
    // Plain pg may wait for ever for connections that an outage has cut.
    const limit = setTimeout(() => this.child.kill('SIGKILL'), STOP_LIMIT);
    // It ends as at a signal.
    if (this.child.connected) this.child.disconnect();
    await this.exited;
    clearTimeout(limit);
  }
}

module.exports = { Application };
