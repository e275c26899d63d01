// A small load on the newspaper, over HTTP as readers make it: readers browse
// (highPriority), analysts ask for reports (lowPriority), and every now and
// then the admin job runs. Each visitor has one request under way at a time,
// so the load is bounded however slow the answers are.

'use strict';

const http = require('node:http');
const { admin } = require('./db-utils');
const prose = require('./prose');

const VISITORS = { readers: 16, analysts: 2 };
const PAUSE = { reader: 60, analyst: 1500, admin: 20000, afterError: 500 };
const REQUEST_LIMIT = 30000;
const REPORT_DAYS = 20;
const DAY = 86400000;
const COMMENT_SHARE = 0.004;

const WORDS = Object.values(prose.SUBJECTS)
  .flat()
  .map((subject) => subject.replace(/^(the|an?) /, ''));

class Load {
  #agent = new http.Agent({ keepAlive: true });
  #random = prose.randomFrom(Date.now());
  #running = new Set();
  #requests = new Set();
  #wake = new Set();
  #stopped = false;
  #latencies = [];
  #errors = 0;

  constructor({ host, port, articles }) {
    this.target = { host, port };
    this.articles = articles;
  }

  start() {
    for (let i = 0; i < VISITORS.readers; i++) this.#loop(() => this.#read(), PAUSE.reader);
    for (let i = 0; i < VISITORS.analysts; i++) this.#loop(() => this.#analyse(), PAUSE.analyst);
    this.#loop(() => admin.maintain(), PAUSE.admin);
  }

  // What happened since the last call.
  take() {
    const sorted = this.#latencies.sort((a, b) => a - b);
    const at = (share) =>
      sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] : 0;
    const taken = { requests: sorted.length, errors: this.#errors, p50: at(0.5), p95: at(0.95) };
    this.#latencies = [];
    this.#errors = 0;
    return taken;
  }

  async stop() {
    this.#stopped = true;
    for (const wake of this.#wake) wake();
    for (const request of this.#requests) request.destroy();
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  #loop(task, pause) {
    const run = async () => {
      while (!this.#stopped) {
        await this.#sleep(pause * 2 * this.#random());
        if (this.#stopped) return;
        try {
          await task();
        } catch {
          if (this.#stopped) return;
          this.#errors += 1;
          await this.#sleep(PAUSE.afterError);
        }
      }
    };
    const running = run().finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  #sleep(millis) {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake.delete(done);
        resolve();
      };
      const timer = setTimeout(done, millis);
      this.#wake.add(done);
    });
  }

  async #read() {
    const dice = this.#random();
    // New articles are read most, as in the seed.
    const article = 1 + Math.floor(this.articles * (1 - this.#random() ** 4) * 0.9999);
    if (dice < COMMENT_SHARE) return this.#comment(article);
    if (dice < 0.25) return this.#timed('GET', '/');
    if (dice < 0.35)
      return this.#timed('GET', `/search?q=${encodeURIComponent(prose.pick(this.#random, WORDS))}`);
    return this.#timed('GET', `/article/${article}`);
  }

  #comment(article) {
    const body = JSON.stringify({
      author: prose.name(this.#random),
      body: prose.pick(this.#random, prose.REMARKS),
    });
    return this.#timed('POST', `/api/articles/${article}/comments`, body);
  }

  #analyse() {
    const day = new Date(Date.now() - DAY * (1 + Math.floor(this.#random() * REPORT_DAYS)))
      .toISOString()
      .slice(0, 10);
    return this.#timed('GET', `/api/reports/nightly?day=${day}`);
  }

  async #timed(method, path, body) {
    const started = process.hrtime.bigint();
    await this.#request(method, path, body);
    this.#latencies.push(Number(process.hrtime.bigint() - started) / 1e6);
  }

  #request(method, path, body) {
    return new Promise((resolve, reject) => {
      const headers = body
        ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
        : {};
      const request = http.request({
        ...this.target,
        method,
        path,
        headers,
        agent: this.#agent,
        timeout: REQUEST_LIMIT,
      });
      this.#requests.add(request);
      request.once('close', () => this.#requests.delete(request));
      request.once('timeout', () => request.destroy(new Error('no answer')));
      request.once('error', reject);
      request.once('response', (response) => {
        response.resume();
        response.once('error', reject);
        response.once('end', () =>
          response.statusCode < 400 ? resolve() : reject(new Error(`status ${response.statusCode}`)),
        );
      });
      request.end(body);
    });
  }
}

module.exports = { Load };
