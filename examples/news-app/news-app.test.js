'use strict';

// The newspaper over HTTP, once on each driver: every route, good input and
// bad. Each driver serves its own fresh database from the same seed, in a
// process of its own; what both answered is compared at the end.
// NEWS_TEST_DRIVERS=pg (comma-separated) runs only the named drivers.

const http = require('node:http');
const path = require('node:path');
const { execFile, spawn } = require('node:child_process');
const { once } = require('node:events');
const { promisify } = require('node:util');
const { Client } = require('pg');
const { PATIENCE } = require('../../__test__/support/patience');
const { closedPort } = require('../../__test__/support/ports');
const { freshDatabase } = require('../../__test__/support/server');
const { until } = require('../../__test__/support/until');

const DRIVERS = (process.env.NEWS_TEST_DRIVERS || 'pg,pgpool-rs').split(',');
const ARTICLES = 600;
const UNTIL = '2026-03-01T00:00:00Z';
const LAST_DAY = '2026-02-28';

// Windows has no signals that a process could answer.
const onPosix = process.platform === 'win32' ? test.skip : test;
const started = Date.now();
const transcripts = new Map();

const file = (name) => path.join(__dirname, name);

function environment(driver, { host, port, user, password, database }) {
  return {
    ...process.env,
    NEWS_DRIVER: driver,
    NEWS_ARTICLES: String(ARTICLES),
    NEWS_UNTIL: UNTIL,
    DB_HOST: host,
    DB_PORT: String(port),
    DB_USER: user,
    DB_PASSWORD: password,
    DB_NAME: database,
    HOST: '127.0.0.1',
    PORT: '0',
  };
}

async function seed(env) {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file('seed.js')], {
    env,
    timeout: PATIENCE,
  });
  return stdout + stderr;
}

// A server process; it ends with this one, whatever happens here.
async function serve(env) {
  const child = spawn(process.execPath, [file('server.js')], {
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const app = { child, log: '', exited: once(child, 'exit') };
  const ready = new Promise((resolve, reject) => {
    const read = (chunk) => {
      app.log += chunk;
      const url = /listening on (\S+)/.exec(app.log);
      if (url) resolve(new URL(url[1]));
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', () => reject(new Error(`the server ended: ${app.log}`)));
  });
  app.url = await ready;
  return app;
}

function request({ hostname, port }, method, target, { headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request({ hostname, port, method, path: target, headers, agent: false });
    req.once('error', reject);
    req.once('response', (res) => {
      const chunks = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.once('error', reject);
      res.once('end', () =>
        resolve({ status: res.statusCode, headers: res.headers, text: Buffer.concat(chunks).toString() }),
      );
    });
    req.end(body);
  });
}

// Instants of this run differ between the drivers' turns; seeded ones do not.
function withoutInstants(text) {
  const recent = (iso) => Math.abs(Date.parse(iso) - Date.now()) < Date.now() - started + 60000;
  return text
    .replace(/<time datetime="([^"]+)">[^<]*<\/time>/g, (all, iso) =>
      recent(iso) ? '<time>now</time>' : all,
    )
    .replace(/"(\d{4}-\d\d-\d\dT[\d:.]+Z)"/g, (all, iso) => (recent(iso) ? '"now"' : all));
}

// Many at once may wait for a connection longer than a reader would.
function requestUntilServed(...args) {
  return until(async () => {
    const answer = await request(...args);
    return answer.status !== 503 && answer;
  });
}

describe.each(DRIVERS)('the newspaper on %s', (driver) => {
  const transcript = [];
  let database;
  let env;
  let app;
  let seeding;

  beforeAll(async () => {
    transcripts.set(driver, transcript);
    database = await freshDatabase();
    env = environment(driver, database.config());
    seeding = await seed(env);
    app = await serve(env);
  });

  afterAll(async () => {
    if (app && app.child.exitCode === null) {
      app.child.kill('SIGKILL');
      await app.exited;
    }
    if (database) await database.drop();
  });

  async function ask(method, target, options) {
    const answer = await request(app.url, method, target, options);
    const { 'content-type': type, location, allow } = answer.headers;
    transcript.push({
      asked: `${method} ${target}`,
      status: answer.status,
      type,
      location,
      allow,
      text: withoutInstants(answer.text),
    });
    return answer;
  }

  const get = (target, options) => ask('GET', target, options);
  const getJson = async (target) => JSON.parse((await get(target)).text);
  const status = async (method, target, options) => (await ask(method, target, options)).status;

  function post(target, value, method = 'POST') {
    return ask(method, target, {
      headers: { 'content-type': 'application/json' },
      body: typeof value === 'string' ? value : JSON.stringify(value),
    });
  }

  function postForm(target, fields, headers = {}) {
    const body = new URLSearchParams(fields).toString();
    return ask('POST', target, {
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body,
    });
  }

  test('migrates and seeds an empty database, and leaves a seeded one alone', async () => {
    expect(seeding).toContain(
      'applied 001 articles, authors and comments; 002 views and what is trending; 003 reports',
    );
    expect(seeding).toMatch(/^seeded$/m);
    const again = await seed(env);
    expect(again).toContain('schema is up to date');
    expect(again).toContain('already seeded');
    expect((await getJson('/api/articles')).total).toBe(ARTICLES);
  });

  test('the front page shows the newest story, every section and what is most read', async () => {
    const {
      articles: [newest],
    } = await getJson('/api/articles?pageSize=1');
    const page = await get('/');
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).toContain("default-src 'none'");
    expect(page.text).toContain(`<h1><a href="/article/${newest.id}">`);
    expect(page.text.match(/<section>/g)).toHaveLength(8);
    expect(page.text).toMatch(/Most read.*views/s);
    expect(await status('GET', '/style.css')).toBe(200);
  });

  test('a section is listed newest first, page by page, without gaps or repeats', async () => {
    const first = await getJson('/api/articles?section=science&pageSize=10');
    const second = await getJson('/api/articles?section=science&pageSize=10&page=2');
    const all = await getJson('/api/articles?section=science&pageSize=20');
    expect([...first.articles, ...second.articles]).toEqual(all.articles);
    const times = all.articles.map((article) => Date.parse(article.published_at));
    expect(times).toEqual([...times].sort((a, b) => b - a));
    expect(new Set(all.articles.map((article) => article.section))).toEqual(new Set(['science']));
    expect((await get('/section/science?page=2')).text).toContain('/section/science?page=3');
    expect((await getJson('/api/articles?page=1000')).articles).toEqual([]);
  });

  test('an article is shown with its comments, and each reading of it is counted', async () => {
    const before = await getJson('/api/articles/590');
    const page = await get('/article/590');
    expect(page.status).toBe(200);
    expect(page.text).toContain('Publish comment');
    expect(page.text.match(/class="comment"/g)).toHaveLength(before.comment_count);
    const after = await getJson('/api/articles/590');
    expect(typeof before.views).toBe('string');
    expect(Number(after.views)).toBe(Number(before.views) + 1);
    expect(before.meta).toEqual({
      place: expect.any(String),
      words: expect.any(Number),
      breaking: expect.any(Boolean),
    });
    expect(Array.isArray(before.tags)).toBe(true);
    expect((await getJson('/api/articles/590/comments')).comments).toHaveLength(before.comment_count);
  });

  test.each(['0', '-1', '1.5', 'abc', '2147483648', '99999999999999999999', '601', '%27', '1;--'])(
    'there is no article %s',
    async (id) => {
      expect(await status('GET', `/article/${id}`)).toBe(404);
      expect(await status('GET', `/api/articles/${id}`)).toBe(404);
      expect(await status('GET', `/api/articles/${id}/comments`)).toBe(404);
    },
  );

  test('a search finds words in any form, phrases and exclusions, and marks what it found', async () => {
    const plain = await getJson('/api/search?q=delaying+decisions');
    expect(plain.total).toBeGreaterThan(0);
    expect(plain.articles[0].excerpt || plain.articles[0].title).toBeTruthy();
    const ranks = plain.articles.map((article) => article.rank);
    expect(ranks).toEqual([...ranks].sort((a, b) => b - a));
    const place = await getJson('/api/search?q=%22Port+Alder%22');
    const without = await getJson('/api/search?q=%22Port+Alder%22+-%22Port+Alder%22');
    expect(place.total).toBeGreaterThan(0);
    expect(without.total).toBe(0);
    const page = await get('/search?q=%22Port+Alder%22&page=2');
    expect(page.status).toBe(200);
    expect(page.text).toContain('<mark>');
    expect(page.text).toContain('value="&quot;Port Alder&quot;"');
  });

  test.each([
    '',
    '%20',
    'zzzzz',
    '%27%3B+DROP+TABLE+news.articles%3B--',
    '%3Cscript%3Ealert(1)%3C/script%3E',
    '%22',
    '-',
    '%26%7C!()',
    '%F0%9F%97%9E',
    'the+of+and',
  ])('a search for %s is answered and echoes no markup', async (q) => {
    const page = await get(`/search?q=${q}`);
    expect(page.status).toBe(200);
    expect(page.text).not.toContain('<script');
  });

  test.each([
    '/search?page=0',
    '/search?q=a&page=-1',
    '/search?q=a&page=1001',
    '/search?q=a&page=x',
    '/search?q=%00',
    '/search?q=%ff',
    `/search?q=${'a'.repeat(201)}`,
    '/section/sport?page=1e3',
    '/api/search',
    '/api/articles?section=gossip',
    '/api/articles?pageSize=101',
    '/api/articles?page=99999999999999999999',
    '/reports?day=yesterday',
    '/reports?day=2026-02-30',
    '/api/reports/nightly?day=2026-2-1',
  ])('%s is a bad request', async (target) => {
    expect(await status('GET', target)).toBe(400);
  });

  test('a comment from the form is published, escaped, and counted', async () => {
    const before = await getJson('/api/articles/580');
    const body = '<b>Bold</b> & "quoted"\nsecond line';
    const sent = await postForm(
      '/article/580/comments',
      { author: "O'Neill", body },
      { origin: `http://${app.url.host}` },
    );
    expect(sent.status).toBe(303);
    expect(sent.headers.location).toMatch(/^\/article\/580#comment-\d+$/);
    const page = await get('/article/580');
    expect(page.text).toContain('&lt;b&gt;Bold&lt;/b&gt; &amp; &quot;quoted&quot;\nsecond line');
    expect(page.text).toContain('O&#39;Neill');
    expect((await getJson('/api/articles/580')).comment_count).toBe(before.comment_count + 1);
  });

  test('a comment that cannot be published says why and keeps what was written', async () => {
    const page = await postForm('/article/580/comments', { author: '', body: 'kept "text"' });
    expect(page.status).toBe(400);
    expect(page.text).toContain('author is required');
    expect(page.text).toContain('kept &quot;text&quot;');
    expect((await postForm('/article/601/comments', { author: 'a', body: 'b' })).status).toBe(404);
    expect((await postForm('/article/x/comments', { author: 'a', body: 'b' })).status).toBe(404);
    expect((await postForm('/article/580/comments', { author: 'a', body: 'b\0' })).status).toBe(400);
    expect(
      (
        await postForm(
          '/article/580/comments',
          { author: 'a', body: 'b' },
          { origin: 'http://elsewhere.example' },
        )
      ).status,
    ).toBe(403);
    expect(
      (await postForm('/article/580/comments', { author: 'a', body: 'b' }, { 'content-type': 'text/plain' }))
        .status,
    ).toBe(415);
    expect((await postForm('/article/580/comments', { author: 'a', body: 'b'.repeat(70000) })).status).toBe(
      413,
    );
  });

  test('comments written at the same time are all counted', async () => {
    const before = await getJson('/api/articles/570');
    const target = '/api/articles/570/comments';
    const headers = { 'content-type': 'application/json' };
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        requestUntilServed(app.url, 'POST', target, {
          headers,
          body: JSON.stringify({ author: `Reader ${i}`, body: 'Me first' }),
        }),
      ),
    );
    expect(answers.map((answer) => answer.status)).toEqual(Array(40).fill(201));
    const counts = answers.map((answer) => JSON.parse(answer.text).comment_count).sort((a, b) => a - b);
    expect(counts).toEqual(Array.from({ length: 40 }, (_, i) => before.comment_count + i + 1));
    expect((await getJson('/api/articles/570')).comment_count).toBe(before.comment_count + 40);
  });

  test('an article is created, read back exactly, changed, and found', async () => {
    const article = {
      section: 'culture',
      author: 'Zoë "Quill" Ångström',
      title: 'A {brace}, a \\backslash\\ & a “quote”',
      summary: '  trimmed  ',
      body: 'First.\n\nXylophonists rejoice – 新聞 🗞 <i>plainly</i>.',
      tags: ['a,b', 'NULL', '"x"', '{}', 'back\\slash', 'ünï'],
      meta: { nested: [1, 2.5, null, { deep: 'yes' }], big: 12345678901, text: "it's" },
    };
    const made = await post('/api/articles', article);
    expect(made.status).toBe(201);
    const created = JSON.parse(made.text);
    expect(made.headers.location).toBe(`/api/articles/${created.id}`);
    expect(created).toMatchObject({
      ...article,
      summary: 'trimmed',
      comment_count: 0,
      views: '0',
      updated_at: null,
    });
    expect(await getJson(`/api/articles/${created.id}`)).toEqual(created);
    expect((await getJson('/api/search?q=xylophonist')).articles.map(({ id }) => id)).toEqual([created.id]);

    const changed = JSON.parse(
      (await post(`/api/articles/${created.id}`, { title: 'Shorter', tags: [], meta: {} }, 'PATCH')).text,
    );
    expect(changed).toMatchObject({
      title: 'Shorter',
      tags: [],
      meta: {},
      body: article.body,
      updated_at: expect.any(String),
    });
    const page = await get(`/article/${created.id}`);
    expect(page.text).toContain('新聞 🗞 &lt;i&gt;plainly&lt;/i&gt;');
  });

  test('an article that is not one is refused, field by field, and nothing is stored', async () => {
    const { total } = await getJson('/api/articles?pageSize=1');
    const good = { section: 'sport', title: 'T', summary: 'S', body: 'B', author: 'A' };
    const refused = await post('/api/articles', {
      ...good,
      section: 'gossip',
      title: '',
      body: 7,
      tags: ['', 3],
    });
    expect(refused.status).toBe(400);
    expect(Object.keys(JSON.parse(refused.text).fields)).toEqual(['section', 'title', 'body', 'tags']);
    for (const body of [
      '',
      '{',
      'null',
      '[]',
      '"text"',
      '{}',
      { ...good, title: 'x'.repeat(201) },
      { ...good, title: 'nul \0' },
      { ...good, title: 'half \ud83d' },
      { ...good, meta: [] },
      { ...good, meta: { deep: ['\0'] } },
      { ...good, tags: 'a' },
    ]) {
      expect((await post('/api/articles', body)).status).toBe(400);
    }
    expect((await post('/api/articles/1', {}, 'PATCH')).status).toBe(400);
    expect((await post('/api/articles/1', { author: 'nobody' }, 'PATCH')).status).toBe(400);
    expect((await post('/api/articles/9999', { title: 'T' }, 'PATCH')).status).toBe(404);
    expect(await status('POST', '/api/articles', { body: '{}' })).toBe(415);
    expect((await getJson('/api/articles?pageSize=1')).total).toBe(total);
  });

  test('what is trending is listed by views', async () => {
    const { articles } = await getJson('/api/trending');
    expect(articles.length).toBeGreaterThan(5);
    const views = articles.map((article) => Number(article.views));
    expect(views).toEqual([...views].sort((a, b) => b - a));
  });

  test('the nightly report adds up', async () => {
    const report = await getJson(`/api/reports/nightly?day=${LAST_DAY}`);
    expect(report.day).toBe(LAST_DAY);
    expect(report.totals.views).toBeGreaterThan(0);
    expect(report.days).toHaveLength(30);
    expect(report.days.at(-1)).toMatchObject({
      day: LAST_DAY,
      views: report.totals.views,
      comments: report.totals.comments,
    });
    expect(report.hours.reduce((sum, hour) => sum + hour.views, 0)).toBe(report.totals.views);
    expect(report.sections.reduce((sum, section) => sum + Number(section.share), 0)).toBeCloseTo(100, 0);
    expect(report.sections[0].mean_seconds).toMatch(/^\d+\.\d\d$/);
    expect(report.discussion.reduce((sum, row) => sum + row.articles, 0)).toBe(
      (await getJson('/api/articles?pageSize=1')).total,
    );
    expect(report.authors[0].place).toBe(1);
    const empty = await getJson('/api/reports/nightly?day=2019-01-01');
    expect(empty.totals).toMatchObject({
      articles: 0,
      comments: 0,
      views: 0,
      seconds_read: null,
      referrer: 'direct',
    });
  });

  test('a report that was run is kept, and a second run replaces it', async () => {
    expect(JSON.parse((await post('/api/reports/nightly', { day: '2026-02-27' })).text)).toMatchObject({
      day: '2026-02-27',
      runs: 1,
    });
    const again = await post('/api/reports/nightly', { day: '2026-02-27' });
    expect(again.status).toBe(201);
    expect(JSON.parse(again.text)).toMatchObject({ day: '2026-02-27', runs: 2 });
    expect((await post('/api/reports/nightly', { day: 20260227 })).status).toBe(400);
    const page = await get('/reports?day=2026-02-27');
    expect(page.status).toBe(200);
    expect(page.text).toContain('Report of 2026-02-27');
    expect(page.text).toContain('<a href="/reports?day=2026-02-27">');
    expect((await get('/reports')).text).toContain('Report of 20');
  });

  test('reports and readers are served side by side', async () => {
    const targets = Array.from({ length: 60 }, (_, i) =>
      i % 6 === 0 ? `/api/reports/nightly?day=${LAST_DAY}` : `/api/articles/${1 + i}`,
    );
    const answers = await Promise.all(targets.map((target) => requestUntilServed(app.url, 'GET', target)));
    expect(answers.map((answer) => answer.status)).toEqual(targets.map(() => 200));
    const reports = new Set(answers.filter((_, i) => i % 6 === 0).map((answer) => answer.text));
    expect(reports.size).toBe(1);
    answers.forEach((answer, i) => i % 6 === 0 || expect(JSON.parse(answer.text).id).toBe(1 + i));
  });

  test('health names the three pools and their counts', async () => {
    const answer = await request(app.url, 'GET', '/health');
    expect(answer.status).toBe(200);
    const counts = { total: expect.any(Number), idle: expect.any(Number), waiting: 0 };
    expect(JSON.parse(answer.text)).toEqual({
      status: 'ok',
      pools: { highPriority: counts, lowPriority: counts, admin: counts },
    });
  });

  test('other addresses are not found, and other methods not allowed', async () => {
    for (const target of [
      '/nothing',
      '/article',
      '/article/1/',
      '/section/gossip',
      '/api',
      '/api/nothing',
      '/%2e%2e/etc/passwd',
      '/section/__proto__',
    ]) {
      expect(await status('GET', target)).toBe(404);
    }
    expect((await ask('DELETE', '/article/1')).headers.allow).toBe('GET');
    expect((await ask('PUT', '/api/articles')).headers.allow).toBe('GET, POST');
    const head = await ask('HEAD', '/');
    expect([head.status, head.text]).toEqual([200, '']);
    expect(Number(head.headers['content-length'])).toBeGreaterThan(100);
  });

  test('a connection that is lost inside a transaction costs that request, and not the process', async () => {
    const alone = await serve(env);
    const [locker, watcher] = [new Client(database.config()), new Client(database.config())];
    await Promise.all([locker.connect(), watcher.connect()]);
    try {
      await locker.query('BEGIN; SELECT 1 FROM news.articles WHERE id = 561 FOR UPDATE');
      const headers = { 'content-type': 'application/json' };
      const blocked = request(alone.url, 'POST', '/api/articles/561/comments', {
        headers,
        body: JSON.stringify({ author: 'A', body: 'B' }),
      });
      await until(
        async () => {
          const waits = "datname = current_database() AND wait_event_type = 'Lock'";
          return (
            await watcher.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${waits}`)
          ).rowCount;
        },
        { what: 'the transaction to wait for the lock' },
      );
      expect((await blocked).status).toBeGreaterThanOrEqual(500);
      await locker.query('ROLLBACK');
      expect((await request(alone.url, 'GET', '/api/articles/561')).status).toBe(200);
      expect(alone.child.exitCode).toBeNull();
    } finally {
      await Promise.all([locker.end(), watcher.end()]);
      alone.child.kill('SIGKILL');
      await alone.exited;
    }
  });

  onPosix('a signal lets the request under way finish, and ends the process', async () => {
    const body = JSON.stringify({ author: 'Last', body: 'In time' });
    const headers = {
      'content-type': 'application/json',
      'content-length': body.length,
      expect: '100-continue',
    };
    const req = http.request({
      hostname: app.url.hostname,
      port: app.url.port,
      method: 'POST',
      path: '/api/articles/560/comments',
      headers,
      agent: false,
    });
    req.flushHeaders();
    await once(req, 'continue');
    app.child.kill('SIGTERM');
    const refused = () =>
      request(app.url, 'GET', '/style.css').then(
        () => false,
        (err) => err.code === 'ECONNREFUSED',
      );
    await until(refused, { what: 'the server to refuse new connections' });
    req.end(body);
    const [res] = await once(req, 'response');
    res.resume();
    expect(res.statusCode).toBe(201);
    const [code, signal] = await app.exited;
    expect({ code, signal, log: app.log }).toEqual({
      code: 0,
      signal: null,
      log: expect.stringMatching(/^listening on .*\nstopped\n$/),
    });
  });

  onPosix('with no database each page is a 503 that says so, and the process still ends', async () => {
    const alone = await serve({ ...env, DB_HOST: '127.0.0.1', DB_PORT: String(await closedPort()) });
    try {
      for (const target of ['/', '/article/1', '/search?q=a', '/reports', '/health', '/api/articles']) {
        const answer = await request(alone.url, 'GET', target);
        expect([target, answer.status, alone.log]).toEqual([target, 503, expect.anything()]);
        expect(answer.headers['retry-after']).toBe('2');
      }
      expect((await request(alone.url, 'GET', '/search')).status).toBe(200);
      alone.child.kill('SIGTERM');
      expect(await alone.exited).toEqual([0, null]);
      if (env.DB_PASSWORD) expect(alone.log).not.toContain(env.DB_PASSWORD);
    } finally {
      alone.child.kill('SIGKILL');
    }
  });
});

(DRIVERS.length > 1 ? test : test.skip)('all drivers gave the same answers', () => {
  const [first, ...others] = DRIVERS.map((driver) => transcripts.get(driver));
  expect(first.length).toBeGreaterThan(100);
  for (const other of others) {
    expect(other.map(({ asked }) => asked)).toEqual(first.map(({ asked }) => asked));
    other.forEach((answer, i) => expect(answer).toEqual(first[i]));
  }
});
