'use strict';

// The package in unusual processes: frozen intrinsics, the permission model, globals that are missing, and modules
// that are evaluated again.

const path = require('node:path');
const { execFile } = require('node:child_process');
const { PATIENCE } = require('../support/patience');
const { config } = require('../support/server');

const ROOT = path.resolve(__dirname, '../..');

/** Runs the body of an async function of `driver`, `config` and `say`; what it said, and how it ended. */
function run(body, { flags = [], before = '', env = {} } = {}) {
  const program = `
    ${before}
    const driver = require(${JSON.stringify(ROOT)});
    const config = (more) => ({ ...${JSON.stringify(config())}, ...more });
    const say = (what) => require('node:fs').writeSync(1, JSON.stringify(what) + '\\n');
    (async () => {${body}})().catch((error) => say({ code: error.code, message: error.message }));`;
  return new Promise((resolve) => {
    const options = { cwd: ROOT, timeout: PATIENCE, env: { ...process.env, ...env } };
    execFile(process.execPath, [...flags, '-e', program], options, (error, stdout, stderr) => {
      const said = stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line));
      resolve({ said, code: error === null ? 0 : (error.code ?? error.signal), stderr });
    });
  });
}

const USE = `
  const pool = new driver.Pool(config({ max: 2 }));
  const { rows } = await pool.query('SELECT $1::text AS text, generate_series(1, 2) AS n', ['ä']);
  say(rows);
  const client = await pool.connect();
  say((await client.query('SELECT 1 / 0').catch((error) => error)).code);
  client.release();
  const failed = await pool.transaction(() => { throw new Error('mine'); }).catch((error) => error);
  say(failed.message);
  await pool.end();`;
const USED = [
  [
    { text: 'ä', n: 1 },
    { text: 'ä', n: 2 },
  ],
  '22012',
  'mine',
];

test('frozen intrinsics', async () => {
  expect(await run(USE, { flags: ['--frozen-intrinsics'] })).toMatchObject({ said: USED, code: 0 });
});

test.each([
  [
    'jsdom',
    ['setImmediate', 'clearImmediate', 'TextEncoder', 'TextDecoder', 'structuredClone', 'performance'],
  ],
  [
    'a sandbox',
    ['setTimeout', 'setInterval', 'queueMicrotask', 'URL', 'AbortController', 'AbortSignal', 'fetch'],
  ],
])('the missing globals of %s', async (_, names) => {
  const before = `for (const name of ${JSON.stringify(names)}) delete globalThis[name];`;
  expect(await run(USE, { before })).toMatchObject({ said: USED, code: 0 });
});

describe('the permission model of Node', () => {
  const { allowedNodeEnvironmentFlags: flags } = process;
  const model = flags.has('--permission') ? '--permission' : '--experimental-permission';
  const withSockets = flags.has('--allow-net') ? test : test.skip;

  test('without --allow-addons is named in the error', async () => {
    const { said } = await run('new driver.Pool();', { flags: [model, '--allow-fs-read=*'] });
    expect(said).toEqual([
      { code: 'ERR_PGPOOL_NATIVE', message: expect.stringMatching(/ with --allow-addons alone\.$/) },
    ]);
  });

  test('lets the package work with the permissions that it needs', async () => {
    const allowed = [
      '--allow-fs-read=*',
      '--allow-addons',
      ...(flags.has('--allow-net') ? ['--allow-net'] : []),
    ];
    expect(await run(USE, { flags: [model, ...allowed] })).toMatchObject({ said: USED, code: 0 });
  });

  withSockets('keeps the package from opening sockets without --allow-net', async () => {
    const { said } = await run("await new driver.Pool(config()).query('SELECT 1');", {
      flags: [model, '--allow-fs-read=*', '--allow-addons'],
    });
    expect(said).toEqual([expect.objectContaining({ code: 'ERR_ACCESS_DENIED' })]);
  });
});

test('a process has one listener of `exit`, however often the package is evaluated', async () => {
  const body = `
    for (let load = 0; load < 3; load++) {
      for (const file of Object.keys(require.cache)) if (!file.endsWith('.node')) delete require.cache[file];
      const { Pool } = require(${JSON.stringify(ROOT)});
      const pool = new Pool(config());
      await pool.query('SELECT 1');
      await pool.end();
    }
    say(process.listenerCount('exit'));`;
  expect(await run(body, { env: { PGPOOL_LOG: 'error' } })).toMatchObject({ said: [1], code: 0 });
});
