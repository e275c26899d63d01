'use strict';

// The live page in a real browser: what the person on duty sees before, during and after an outage.

const path = require('node:path');
const { createTiers, metrics, monitorServer } = require('../..');
const { findBrowser, hasBrowser } = require('../support/browser');
const { PATIENCE } = require('../support/patience');
const { Proxy } = require('../support/proxy');
const { config } = require('../support/server');
const { until } = require('../support/until');

if (!hasBrowser())
  console.log(
    'the page is not tested: CHROMIUM names no browser, and there is none to be had for this platform',
  );

const SIZES = { narrow: 360, middle: 768, wide: 1440 };
const HEIGHT = 900;

(hasBrowser() ? describe : describe.skip)('the live page', () => {
  let browser, proxy, tiers, server;

  beforeAll(async () => {
    const { chromium } = require('playwright-core');
    browser = await chromium.launch({ ...(await findBrowser()), timeout: PATIENCE });
    await until(() => metrics().pools.length === 0, { what: 'the pools of other test files to be gone' });
    const { host, port, user, password, database } = config();
    proxy = await Proxy.start({ host, port });
    tiers = createTiers({
      tiers: { readers: { max: 3 }, reports: { max: 2 }, upkeep: { max: 1, min: 1 } },
      shared: {
        ...{ host: proxy.host, port: proxy.port, user, password, database },
        application_name: 'the newspaper',
        slowQueryMillis: 50,
        idleTimeoutMillis: 0,
        adaptive: 'on',
      },
    });
    server = await monitorServer({ port: 0, interval: 100 });
    // Not in the order of their importance.
    for (const name of ['upkeep', 'reports', 'readers']) await tiers.getPool(name).query('SELECT 1');
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await tiers?.end();
    await proxy?.stop();
  });

  async function visit(options, address = server.url) {
    const page = await browser.newPage(options);
    page.setDefaultTimeout(PATIENCE);
    const faults = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
    page.on(
      'request',
      (request) =>
        !request.url().startsWith(address) &&
        !request.url().startsWith('data:') &&
        faults.push(request.url()),
    );
    await page.goto(address);
    await page.getByRole('heading', { name: 'readers' }).waitFor();
    return { page, faults };
  }

  // For whoever changes the page: a directory of pictures to look at.
  async function picture(page, name) {
    const directory = process.env.PAGE_PICTURES;
    if (directory) await page.screenshot({ path: path.join(directory, `${name}.png`), fullPage: true });
  }

  const textsOf = (page, selector) => page.locator(selector).allInnerTexts();

  /** Refuses connections and cuts those there are, while every pool is used, until the returned function is called. */
  async function outage() {
    await proxy.refuse();
    proxy.cut();
    const ask = (name) =>
      tiers
        .getPool(name)
        .query({ text: 'SELECT 1', failFast: true })
        .catch(() => {});
    const storm = setInterval(() => ['readers', 'reports', 'upkeep'].map(ask), 50);
    return async () => {
      clearInterval(storm);
      await proxy.listen();
    };
  }

  test('shows the process, its pools by importance, and where they lead, without a fault or a foreign request', async () => {
    const { page, faults } = await visit();
    await page.locator('#summary', { hasText: 'all well' }).waitFor();
    expect(await page.locator('#process').textContent()).toMatch(
      new RegExp(
        `application .+ · host .+ · pid ${process.pid} · Node.js ${process.version} · pgpool-rs \\d`,
      ),
    );
    expect(await textsOf(page, 'section[data-pool] h2')).toEqual(['readers', 'reports', 'upkeep']);
    const { database } = config();
    const { rows } = await tiers.getPool('readers').query('SHOW server_version');
    const [version] = rows[0].server_version.split(' ');
    expect(await page.locator('section[data-pool] .place').first().textContent()).toBe(
      `server ${proxy.host}:${proxy.port} (PostgreSQL ${version}) · database ${database} · application the newspaper`,
    );
    await page.getByText('Adaptive limit').waitFor();
    await page.locator('#events').getByText('connection opened').first().waitFor();
    expect(faults).toEqual([]);
    await page.close();
  });

  test('each plot has a unit, round values on one axis and times on the other', async () => {
    const { page } = await visit();
    const first = page.locator('section[data-pool]').first();
    expect(await first.locator('h3').allInnerTexts()).toEqual([
      'Connections',
      'Waiting requests',
      'Acquire time, ms',
      'Query time, ms',
      'Operations, /s',
      'Errors, /s',
    ]);
    const plot = first.locator('.plot').first();
    expect(await plot.locator('.values span').allInnerTexts()).toEqual(['4', '2', '0']);
    const times = await plot.locator('.times span').allInnerTexts();
    expect(times).toHaveLength(3);
    for (const time of times) expect(time).toMatch(/^\d\d:\d\d:\d\d$/);
    await page.close();
  });

  test('tells an outage of three pools once, its cause first, and its end once', async () => {
    const { page, faults } = await visit();
    const end = await outage();
    try {
      const card = page.locator('#troubles .incident');
      await card.getByText('readers, reports, upkeep').waitFor();
      await card.getByRole('heading', { name: /^Connecting fails: connect ECONNREFUSED/ }).waitFor();
      await card.getByText(/since \d\d:\d\d:\d\d \(\d+ s\)/).waitFor();
      await card.getByText(/\d+ connects failed/).waitFor();
      expect(await card.count()).toBe(1);
      await page.locator('#summary.bad', { hasText: 'trouble in readers, reports, upkeep' }).waitFor();
      // What repeats is counted, for all pools together, and pushes nothing away.
      const failed = page.locator('#events tr', { hasText: 'connect failed' });
      await failed.filter({ hasText: 'readers' }).filter({ hasText: 'upkeep' }).first().waitFor();
      await picture(page, 'outage');
      await end();
      await page.locator('#summary.good', { hasText: 'all well' }).waitFor();
      const recovered = page.locator('#troubles .recovered');
      await recovered.getByText(/Recovered at .*, after \d+ s/).waitFor();
      await recovered.getByText(/Connecting failed: connect ECONNREFUSED/).waitFor();
      expect(await recovered.count()).toBe(1);
    } finally {
      await end();
    }
    expect(faults).toEqual([]);
    await page.close();
  });

  test('lists retries with their reason', async () => {
    const { page } = await visit();
    const pool = tiers.getPool('readers');
    const victim = await pool.connect();
    const { rows } = await victim.query('SELECT pg_backend_pid() AS pid');
    victim.release();
    const killed = pool.query({ text: 'SELECT pg_sleep(0.2)', idempotent: true });
    await tiers.getPool('upkeep').query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    await killed;
    await page.locator('#retries tr', { hasText: 'tried again' }).first().waitFor();
    await page.close();
  });

  test('lists slow queries, the most time in all first, and takes nothing for markup', async () => {
    const { page, faults } = await visit();
    const pool = tiers.getPool('reports');
    await pool.query('SELECT pg_sleep(0.1) AS "<img src=x onerror=alert(1)>"');
    await pool.query('SELECT pg_sleep(1), $1::text', ['a value']);
    const long = page.locator('#slow-queries tr', { hasText: 'SELECT pg_sleep(?), $1::text' });
    await long.getByText('reports').waitFor();
    await page.locator('#slow-queries').getByText('<img src=x onerror=alert(1)>').waitFor();
    const texts = await textsOf(page, '#slow-queries .code');
    const placeOf = (text) => texts.findIndex((shown) => shown.includes(text));
    expect(placeOf('$1::text')).toBeLessThan(placeOf('<img'));
    expect(await page.locator('#slow-limit').textContent()).toContain('50 ms');
    expect(await page.locator('img').count()).toBe(0);
    expect(faults).toEqual([]);
    await page.close();
  });

  test('shows an alert with its cause, and that it cleared', async () => {
    const own = await monitorServer({
      port: 0,
      interval: 100,
      thresholds: { utilisation: { above: 0.9, forMillis: 0, below: 0.8, clearMillis: 0 } },
    });
    const client = await tiers.getPool('upkeep').connect();
    const { page } = await visit({}, own.url);
    try {
      await page.locator('#troubles').getByText('All 1 connections are in use').first().waitFor();
      await page
        .locator('#alerts tr', { hasText: 'utilisation fired' })
        .getByText(/100 %, limit 90 %/)
        .waitFor();
      client.release();
      await page.locator('#alerts').getByText('utilisation cleared').waitFor();
    } finally {
      await page.close();
      await own.close();
    }
  });

  test.each(
    Object.entries(SIZES).flatMap(([name, width]) => [
      [name, width, 'light', 'rgb(246, 247, 249)'],
      [name, width, 'dark', 'rgb(16, 21, 28)'],
    ]),
  )('nothing is cut on a %s screen of %i pixels, %s', async (_, width, colorScheme, background) => {
    const { page } = await visit({ viewport: { width, height: HEIGHT }, colorScheme });
    await page.locator('#slow-queries tr').first().waitFor();
    const seen = await page.evaluate(() => {
      const texts = 'h1, h2, h3, p, dt, dd, td, span, nav, .scroll';
      const isCut = (element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0;
      return {
        width: document.documentElement.scrollWidth,
        background: getComputedStyle(document.body).backgroundColor,
        cut: [...document.querySelectorAll(texts)]
          .filter((element) => getComputedStyle(element).display !== 'inline' && isCut(element))
          .map((element) => element.outerHTML.slice(0, 200)),
      };
    });
    await picture(page, `calm-${width}-${colorScheme}`);
    expect(seen).toEqual({ width, background, cut: [] });
    await page.close();
  });

  test('is usable by keyboard: plots tell their values, and it can be paused', async () => {
    const { page } = await visit();
    const focused = (read) => page.evaluate(read);
    await page.keyboard.press('Tab');
    expect(await focused(() => document.activeElement.textContent)).toBe('Skip to the pools');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('#pause[aria-pressed=true]').waitFor();
    for (let links = 0; links < 6; links++) await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    const label = () => document.activeElement.getAttribute('aria-label');
    expect(await focused(label)).toMatch(
      /^Connections, \d\d:\d\d:\d\d: used \d+, idle \d+, connecting \d+, limit 3$/,
    );
    await page.keyboard.press('Escape');
    expect(await focused(label)).toMatch(/^Connections, now/);
    await page.close();
  });
});
