// A small load on the newspaper, over HTTP as readers make it: readers browse
// (highPriority), analysts ask for reports (lowPriority). Each visitor has one
// request under way at a time, so the load is bounded however slow the answers
// are. Readers and analysts are counted apart.

'use strict';

const http = require('node:http');
const prose = require('./prose');

const VISITORS = { readers: 16, analysts: 2 };
const PAUSE = { reader: 60, analyst: 1500, afterError: 500 };
const REQUEST_LIMIT = 30000;
const REPORT_DAYS = 20;
const DAY = 86400000;
const COMMENT_SHARE = 0.004;

const WORDS = Object.values(prose.SUBJECTS)
  .flat()
  .map((subject) => subject.replace(/^(the|an?) /, ''));

// What became of the requests of one kind of visitor.
class Outcomes {
  answered = 0;
  failed = 0;
  #latencies = [];

  add(latency) {
    this.answered += 1;
    this.#latencies.push(latency);
  }

  // `{ answered, failed }` of all time, and `{ p50, p95 }` since the last call; null where nothing was answered.
  take() {
    const sorted = this.#latencies.sort((a, b) => a - b);
    this.#latencies = [];
    const at = (share) =>
      sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] : null;
    return { answered: this.answered, failed: this.failed, p50: at(0.5), p95: at(0.95) };
  }
}

class Load {
  #agent = new http.Agent({ keepAlive: true });
  #random = prose.randomFrom(Date.now());
  #running = new Set();
  #requests = new Set();
  #wake = new Set();
  #stopped = false;
  #readers = new Outcomes();
  #reports = new Outcomes();

  constructor({ host, port, articles }) {
    this.target = { host, port };
    this.articles = articles;
  }

  start() {
    for (let i = 0; i < VISITORS.readers; i++) this.#visit(this.#readers, () => this.#read(), PAUSE.reader);
    for (let i = 0; i < VISITORS.analysts; i++)
      this.#visit(this.#reports, () => this.#analyse(), PAUSE.analyst);
  }

  // Of readers since the beginning.
  get counts() {
    return { answered: this.#readers.answered, failed: this.#readers.failed };
  }

  take() {
    return { readers: this.#readers.take(), reports: this.#reports.take() };
  }

  // More readers for a while; resolves once they have gone.
  async flood(readers, millis) {
    const until = Date.now() + millis;
    const visitors = Array.from({ length: readers }, () =>
      this.#visit(this.#readers, () => this.#read(), PAUSE.reader, until),
    );
    await Promise.all(visitors);
  }

  // So many reports of this day at once, kept in the database; resolves once all are answered.
  async runReports(count, day) {
    const body = JSON.stringify({ day });
    const run = () => this.#attempt(this.#reports, () => this.#timed('POST', '/api/reports/nightly', body));
    await Promise.all(Array.from({ length: count }, run));
  }

  async stop() {
    this.#stopped = true;
    for (const wake of this.#wake) wake();
    for (const request of this.#requests) request.destroy();
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  // One visitor, from now on or until a time.
  #visit(outcomes, task, pause, until = Infinity) {
    const run = async () => {
      while (!this.#stopped && Date.now() < until) {
        await this.#sleep(pause * 2 * this.#random());
        if (this.#stopped || (await this.#attempt(outcomes, task))) continue;
        await this.#sleep(PAUSE.afterError);
      }
    };
    const running = run().finally(() => this.#running.delete(running));
    this.#running.add(running);
    return running;
  }

  async #attempt(outcomes, task) {
    try {
      outcomes.add(await task());
      return true;
    } catch {
      if (!this.#stopped) outcomes.failed += 1;
      return false;
    }
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

  #read() {
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

  // Resolves to the milliseconds that the answer took.
  async #timed(method, path, body) {
    const started = process.hrtime.bigint();
    await this.#request(method, path, body);
    return Number(process.hrtime.bigint() - started) / 1e6;
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
