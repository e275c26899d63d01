'use strict';

// The package beside fake timers of a test runner: pools go on while nobody advances the clock.

const fs = require('node:fs');
const path = require('node:path');
const { config } = require('../support/server');
const { killAll, start } = require('./child');
const ours = require('../../index.js');

const ROWS = 60_000;
const LIB = path.resolve(__dirname, '../../lib');

afterEach(() => jest.useRealTimers());
afterAll(killAll);

test('a pool goes on while jest fakes every timer', async () => {
  const pool = new ours.Pool(config({ max: 1, idleTimeoutMillis: 50 }));
  jest.useFakeTimers();
  const [{ rows }, { rows: more }] = await Promise.all([
    pool.query('SELECT generate_series(1, $1) AS n', [ROWS]),
    pool.query('SELECT 1 AS n'),
  ]);
  expect([rows.length, more]).toEqual([ROWS, [{ n: 1 }]]);
  await expect(pool.query('SELECT 1 / 0')).rejects.toThrow('division by zero');
  await expect(pool.query(null)).rejects.toThrow('null or undefined');
  const client = await pool.connect();
  client.on('error', () => {});
  const ended = new Promise((resolve) => client.once('end', resolve));
  await expect(client.query('SELECT pg_terminate_backend(pg_backend_pid())')).rejects.toThrow('terminating');
  await ended;
  client.release();
  await expect(pool.connect({ signal: AbortSignal.abort(new Error('too late')) })).rejects.toThrow(
    'too late',
  );
  await pool.end();
});

test('a pool goes on where timers are replaced in the modules of Node, too', async () => {
  const child = start(
    'pgpool-rs',
    `const pool = new driver.Pool(config({ max: 1 }));
     const names = ['setImmediate', 'setTimeout', 'setInterval', 'queueMicrotask', 'performance'];
     for (const name of names) globalThis[name] = () => {};
     for (const name of names.slice(0, 3)) require('node:timers')[name] = () => {};
     const { rows } = await pool.query('SELECT generate_series(1, ${ROWS}) AS n');
     say(rows.length);
     await pool.end();
     say('ended');`,
  );
  expect(await child.ended()).toEqual({ code: 0, signal: null });
  expect(child.lines).toEqual([ROWS, 'ended']);
});

test('no file of lib/ takes a timer or a clock from the globals when it is called', () => {
  const uses =
    /(?<![.\w'"])(?:process\.nextTick|setImmediate|setTimeout|setInterval|clear\w+|queueMicrotask)(?=\()|(?<![.\w'"])performance(?=\.)/g;
  const sources = fs
    .readdirSync(LIB, { recursive: true })
    .filter((file) => file.endsWith('.js') && file !== path.join('async', 'timers.js'));
  const offences = sources.flatMap((file) => {
    const source = fs.readFileSync(path.join(LIB, file), 'utf8');
    const [, imported = ''] = /const \{([^}]*)\} = require\('[^']*\/timers'\)/.exec(source) ?? [];
    const names = imported.split(',').map((name) => name.trim());
    // A method of that name is none of them.
    const calls = [...source.replace(/^ {2}\w+\([^)]*\) \{$/gm, '').matchAll(uses)].map(([name]) => name);
    return calls.filter((name) => !names.includes(name)).map((name) => `${file}: ${name}`);
  });
  expect(offences).toEqual([]);
});
