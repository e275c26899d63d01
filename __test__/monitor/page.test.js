'use strict';

// The live page in a real browser: what the person on duty sees before, during and after an outage.

const { Pool, metrics, monitorServer } = require('../..');
const { findBrowser, hasBrowser } = require('../support/browser');
const { PATIENCE } = require('../support/patience');
const { Proxy } = require('../support/proxy');
const { config } = require('../support/server');
const { until } = require('../support/until');

if (!hasBrowser())
  console.log(
    'the page is not tested: CHROMIUM names no browser, and there is none to be had for this platform',
  );

(hasBrowser() ? describe : describe.skip)('the live page', () => {
  let browser, proxy, pool, server;

  beforeAll(async () => {
    const { chromium } = require('playwright-core');
    browser = await chromium.launch({ ...(await findBrowser()), timeout: PATIENCE });
    await until(() => metrics().pools.length === 0, { what: 'the pools of other test files to be gone' });
    const { host, port } = config();
    proxy = await Proxy.start({ host, port });
    pool = new Pool(
      config({ host: proxy.host, port: proxy.port, max: 3, idleTimeoutMillis: 0, tier: 'newsroom' }),
    );
    server = await monitorServer({ port: 0, interval: 100 });
    await pool.query('SELECT 1');
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await pool?.end();
    await proxy?.stop();
  });

  async function visit(options) {
    const page = await browser.newPage(options);
    page.setDefaultTimeout(PATIENCE);
    const faults = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
    page.on(
      'request',
      (request) =>
        !request.url().startsWith(server.url) &&
        !request.url().startsWith('data:') &&
        faults.push(request.url()),
    );
    await page.goto(server.url);
    await page.getByRole('heading', { name: 'newsroom' }).waitFor();
    return { page, faults };
  }

  test('shows the pool, its charts and its events, without a fault or a foreign request', async () => {
    const { page, faults } = await visit();
    await page.getByText('1 idle, 0 connecting of 3').waitFor();
    await page.locator('#summary', { hasText: 'all well' }).waitFor();
    for (const title of [
      'Connections',
      'Waiting requests',
      'Acquire time',
      'Query time',
      'Throughput and errors',
    ]) {
      await page.getByRole('heading', { name: title }).first().waitFor();
    }
    await page.locator('#events').getByText('connection opened').first().waitFor();
    expect(await page.locator('section[data-pool] svg path').count()).toBeGreaterThan(5);
    expect(faults).toEqual([]);
    await page.close();
  });

  test('shows an outage while it lasts and the recovery after it', async () => {
    const { page, faults } = await visit();
    await proxy.refuse();
    proxy.cut();
    const storm = setInterval(() => pool.query('SELECT 1').catch(() => {}), 50);
    try {
      await page
        .getByText(/connecting fails: connect ECONNREFUSED/)
        .first()
        .waitFor();
      await page.locator('#summary.bad', { hasText: /trouble in newsroom since \d\d:\d\d:\d\d/ }).waitFor();
      const incident = page.locator('section[data-pool] .incident');
      await incident.getByText(/Trouble since \d\d:\d\d:\d\d \(\d+ s\)/).waitFor();
      await incident.getByText(/The pool: reconnecting, \d+ connects failed/).waitFor();
      // What repeats is counted, and pushes nothing away.
      await page
        .locator('#events')
        .getByText(/connection connect failed \d+ times since/)
        .first()
        .waitFor();
      await page
        .locator('dd', { hasText: /connection \d+/ })
        .first()
        .waitFor();
      await proxy.listen();
      await page.locator('#summary.good', { hasText: 'all well' }).waitFor();
      await page
        .locator('section[data-pool] .recovered', {
          hasText: /Recovered at .*, after \d+ s .*\n?connecting failed: connect ECONNREFUSED/s,
        })
        .waitFor();
    } finally {
      clearInterval(storm);
      await proxy.listen();
    }
    expect(faults).toEqual([]);
    await page.close();
  });

  test('shows an alert with its cause, and that it cleared', async () => {
    const own = await monitorServer({
      port: 0,
      interval: 100,
      thresholds: { utilisation: { above: 0.9, forMillis: 0, below: 0.8, clearMillis: 0 } },
    });
    const page = await browser.newPage();
    page.setDefaultTimeout(PATIENCE);
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
    try {
      await page.goto(own.url);
      await page.locator('#alerts').getByText('utilisation fired').waitFor();
      await page
        .locator('#alerts')
        .getByText(/100 %, limit 90 %/)
        .waitFor();
      clients.splice(0).forEach((client) => client.release());
      await page.locator('#alerts').getByText('utilisation cleared').waitFor();
    } finally {
      clients.forEach((client) => client.release());
      await page.close();
      await own.close();
    }
  });

  test('is readable on a phone and in the dark', async () => {
    const { page } = await visit({ viewport: { width: 360, height: 740 }, colorScheme: 'dark' });
    const { width, background } = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      background: getComputedStyle(document.body).backgroundColor,
    }));
    expect(width).toBeLessThanOrEqual(360);
    expect(background).toBe('rgb(16, 21, 28)');
    await page.close();
    const light = await visit({ colorScheme: 'light' });
    expect(await light.page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe(
      'rgb(246, 247, 249)',
    );
    await light.page.close();
  });

  test('is usable by keyboard: charts tell their values, and it can be paused', async () => {
    const { page } = await visit();
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement.textContent)).toBe('Skip to the pools');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.locator('#pause[aria-pressed=true]').waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowLeft');
    const label = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
    expect(label).toMatch(/^Connections, \d\d:\d\d:\d\d: used \d+, idle \d+, connecting \d+$/);
    await page.keyboard.press('Escape');
    expect(await page.evaluate(() => document.activeElement.getAttribute('aria-label'))).toMatch(
      /^Connections, now/,
    );
    await page.close();
  });
});
