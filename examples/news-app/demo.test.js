'use strict';

// The demonstration as a visitor starts it, in a real process: its addresses, its pages, the troubles of the panel, and
// what they cost on each driver.

const http = require('node:http');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { PATIENCE } = require('../../__test__/support/patience');
const { findBrowser, hasBrowser } = require('../../__test__/support/browser');
const { until } = require('../../__test__/support/until');

const START = path.join(__dirname, 'start.js');
// Windows has no signals that a process could answer.
const onPosix = process.platform === 'win32' ? describe.skip : describe;

jest.setTimeout(4 * PATIENCE);

function environment() {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (/^(PG|DB_|DATABASE_URL$)/.test(name)) delete env[name];
  // Of its own: it is stopped. Small and quick; the pauses of the troubles are a fiftieth.
  const own = {
    NEWS_PACE: '0.02',
    PORT: '0',
    NEWS_PLAIN_PORT: '0',
    NEWS_PANEL_PORT: '0',
    NEWS_MONITOR_PORT: '0',
  };
  return { ...env, ...own, NEWS_ARTICLES: '600' };
}

function request(url, { method = 'GET', headers } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers, agent: false });
    req.once('error', reject);
    req.once('response', async (res) => {
      const chunks = [];
      for await (const chunk of res) chunks.push(chunk);
      resolve({ status: res.statusCode, headers: res.headers, text: Buffer.concat(chunks).toString() });
    });
    req.end();
  });
}

onPosix('the demonstration', () => {
  let child, exited, addresses;
  let log = '';

  beforeAll(async () => {
    child = spawn(process.execPath, [START], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
    exited = once(child, 'exit');
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk));
    await until(() => child.exitCode !== null || log.includes('Ctrl-C stops everything'), {
      what: 'the demonstration to begin',
      timeout: 2 * PATIENCE,
    });
    addresses = [...log.matchAll(/^ {2}(http:\S+) {2}(.*)$/gm)].map(([, url, text]) => ({ url, text }));
    await until(async () => (await state()).applications.every(({ seconds }) => seconds.length > 1));
  });

  afterAll(() => {
    child?.kill('SIGKILL');
  });

  const panel = (route) => new URL(route, addresses[1].url);
  const state = async () => JSON.parse((await request(panel('/state'))).text);
  const cause = (name, headers) => request(panel(`/troubles/${name}`), { method: 'POST', headers });

  async function counted(name) {
    expect((await cause(name)).status).toBe(202);
    const [entry] = await until(
      async () => {
        const { log: entries, running } = await state();
        return running === null && entries[0]?.name === name && entries[0].isCounted && entries;
      },
      { what: `${name} to be over` },
    );
    expect(entry.error).toBeNull();
    return entry.counts;
  }

  test('it shows the live page first, and both newspapers', async () => {
    expect(addresses.map(({ text }) => text)).toEqual([
      expect.stringContaining('the live page'),
      expect.stringContaining('the panel'),
      expect.stringContaining('on pgpool-rs'),
      expect.stringContaining('on plain pg'),
    ]);
    expect((await request(addresses[0].url)).text).toContain('<h1>pgpool-rs</h1>');
    for (const { url } of addresses.slice(2))
      expect((await request(url)).text).toContain('The Alder Courier');
  });

  test('every page of the newspaper leads to the live page and to the panel', async () => {
    const [live, , ours, plain] = addresses.map(({ url }) => url);
    for (const page of ['/', '/section/science', '/article/1', '/search?q=news', '/reports', '/nothing']) {
      const { text } = await request(new URL(page, ours));
      expect(text).toContain(`href="${live}"`);
      expect(text).toContain(`href="${addresses[1].url}"`);
      expect((await request(new URL(page, plain))).text).toContain(`href="${addresses[1].url}"`);
    }
  });

  test('reports have no empty column and no range of one number', async () => {
    const { text } = await request(new URL('/reports', addresses[2].url));
    expect(text).not.toMatch(/>(\d+) to \1</);
    expect(text).not.toMatch(/<td class="(number)?"><\/td>/);
  });

  test('only the panel itself causes trouble, and one at a time', async () => {
    expect((await cause('flood', { origin: 'http://elsewhere.example' })).status).toBe(403);
    expect((await cause('flood', { 'sec-fetch-site': 'cross-site' })).status).toBe(403);
    expect((await cause('flood', { host: 'elsewhere.example' })).status).toBe(403);
    expect((await cause('nothing')).status).toBe(409);
    expect((await cause('toString')).status).toBe(409);
    expect((await request(panel('/'), { method: 'PUT' })).status).toBe(405);
    expect((await request(panel('/'))).headers['content-security-policy']).toContain("default-src 'none'");
    expect((await state()).log).toEqual([]);
  });

  test('the same trouble comes over both, and what it costs is counted for each', async () => {
    for (const name of ['connections', 'reports', 'flood']) {
      const counts = await counted(name);
      expect(Object.keys(counts)).toEqual(['pgpool-rs', 'pg']);
      for (const { answered, failed } of Object.values(counts)) expect(answered + failed).toBeGreaterThan(0);
    }
  });

  test('the database is stopped and comes back: readers on pgpool-rs wait, those on pg fail', async () => {
    const counts = await counted('stop');
    expect(counts['pgpool-rs'].failed).toBe(0);
    expect(counts.pg.failed).toBeGreaterThan(0);
    expect((await request(new URL('/health', addresses[2].url))).status).toBe(200);
  });

  (hasBrowser() ? test : test.skip)('the panel is used by keyboard, on a phone and on a screen', async () => {
    const { chromium } = require('playwright-core');
    const browser = await chromium.launch({ ...(await findBrowser()), timeout: PATIENCE });
    try {
      for (const width of [360, 768, 1440]) {
        const page = await browser.newPage({ viewport: { width, height: 900 } });
        page.setDefaultTimeout(PATIENCE);
        const faults = [];
        page.on('pageerror', (error) => faults.push(error.message));
        page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
        await page.goto(panel('/').href);
        await page.locator('[data-application=pg] svg').waitFor();
        const button = page.getByRole('button', { name: /Lose the connections/ });
        await button.focus();
        await page.keyboard.press('Enter');
        await page.locator('#log tr', { hasText: 'Lose the connections' }).first().waitFor();
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
        expect(await page.locator('#live').getAttribute('href')).toBe(addresses[0].url);
        await until(async () => (await state()).running === null);
        expect(faults).toEqual([]);
        await page.close();
      }
    } finally {
      await browser.close();
    }
  });

  test('the console stays short, and Ctrl-C ends everything', async () => {
    child.kill('SIGINT');
    expect(await exited).toEqual([0, null]);
    expect(log).toMatch(/SIGINT: stopping\nstopped\n$/);
    expect(log.split('\n').length).toBeLessThan(60);
    for (const { url } of addresses)
      await expect(request(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
