'use strict';

// Answers that are large where nobody expects it: errors, notices, notifications and settings of many megabytes, rows
// that are larger than their limit. Texts are cut, rows are refused by their header; nothing hangs and nothing ends
// the process.

const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const ours = require('../..');
const backend = require('../support/backend-messages');
const { ScriptedServer, close, expect: message, skipTo, stall } = require('../support/scripted-server');
const { config } = require('../support/server');
const { until } = require('../support/until');
const { outcome, watchUncaught } = require('./trial');

const MEGABYTE = 1024 * 1024;
// JSON has six bytes for each.
const CONTROLS = '\u0001'.repeat(90 * MEGABYTE);
const CUT = `${'\u0001'.repeat(MEGABYTE)}... (${89 * MEGABYTE} bytes more)`;
const ROW = backend.simpleResult(['word'], [['well']]);
const ONE = { word: 'well' };

let uncaught;
beforeEach(() => {
  uncaught = watchUncaught();
});
afterEach(() => {
  uncaught.stop();
  expect(uncaught.seen).toEqual([]);
});

const login = [message('startup'), backend.greeting()];
const healthy = [...login, skipTo('Q'), ROW, skipTo('X')];

/** The first connection follows `script`; those that cancel tell it, the others are healthy. */
async function withServer(script, body) {
  let cancelled;
  const cancel = new Promise((resolve) => (cancelled = resolve));
  const later = async (session) => {
    if ((await session.next()).type !== 'cancel') return session.run(healthy.slice(1));
    cancelled();
    await session.run([close()]);
  };
  const server = await ScriptedServer.start((number) => (number === 0 ? script(cancel) : [later]));
  try {
    const { host, port } = server;
    return await body({ host, port, user: 'u', password: 'p', database: 'd', max: 1 }, server);
  } finally {
    await server.stop();
    expect(server.failures).toEqual([]);
  }
}

const texts = {
  message: (severity) => ({ severity, message: CONTROLS }),
  detail: (severity) => ({ severity, fields: { D: CONTROLS } }),
};

test.each(Object.entries(texts))(
  'an error with a %s of 90 MB fails its query, cut',
  async (field, fields) => {
    const error = backend.errorResponse(fields('ERROR'));
    const script = [...login, message('Q'), error, backend.readyForQuery(), message('Q'), ROW, skipTo('X')];
    await withServer(
      () => script,
      async (options) => {
        const client = new ours.Client(options);
        await client.connect();
        const failure = await client.query('SELECT word').catch((thrown) => thrown);
        expect(failure.code).toBe('XX000');
        expect(failure[field] === CUT).toBe(true);
        expect(failure.length).toBe(error.length - 1);
        expect((await client.query('SELECT word')).rows).toEqual([ONE]);
        await client.end();
      },
    );
  },
);

test('a FATAL of 90 MB fails its query, and the pool serves the next one', async () => {
  const fatal = backend.errorResponse({ ...texts.message('FATAL'), code: '57P01' });
  await withServer(
    () => [...login, message('Q'), fatal, close()],
    async (options) => {
      const pool = new ours.Pool(options);
      pool.on('error', () => {});
      const failure = await pool.query('SELECT word').catch((thrown) => thrown);
      expect(failure.code).toBe('57P01');
      expect(failure.message === CUT).toBe(true);
      expect((await pool.query('SELECT word')).rows).toEqual([ONE]);
      await pool.end();
    },
  );
});

test('what the server says by itself is cut at a megabyte', async () => {
  const events = [
    backend.noticeResponse({ message: CONTROLS }),
    backend.notificationResponse('channel', CONTROLS),
    backend.parameterStatus('application_name', CONTROLS),
  ];
  await withServer(
    () => [...login, message('Q'), ...events, ROW, skipTo('X')],
    async (options) => {
      const client = new ours.Client(options);
      const heard = {};
      client.on('notice', (notice) => (heard.notice = notice.message === CUT));
      client.on('notification', ({ payload }) => (heard.payload = payload === CUT));
      client.on('error', (error) => (heard.error = error));
      await client.connect();
      client.connection.on(
        'parameterStatus',
        ({ parameterValue }) => (heard.setting = parameterValue === CUT),
      );
      expect((await client.query('SELECT word')).rows).toEqual([ONE]);
      expect(heard).toEqual({ notice: true, payload: true, setting: true });
      await client.end();
    },
  );
});

test('a notice to a client in raw mode is cut, too', async () => {
  const notice = backend.noticeResponse({ message: CONTROLS });
  const raw = [message('Q'), notice, backend.commandComplete('DO'), backend.readyForQuery()];
  await withServer(
    () => [...login, ...raw, skipTo('X')],
    async (options) => {
      const client = new ours.Client(options);
      let heard;
      client.on('notice', ({ message: text }) => (heard = text === CUT));
      await client.connect();
      await new Promise((resolve, reject) => {
        const submittable = {
          submit: (connection) => void connection.query('DO'),
          handleError: reject,
          handleReadyForQuery: resolve,
        };
        client.query(submittable);
      });
      expect(heard).toBe(true);
      await client.end();
    },
  );
});

const tooLong = {
  'a command tag': backend.commandComplete('x'.repeat(2 * MEGABYTE)),
  'a name of a column': Buffer.concat([
    backend.rowDescription(['x'.repeat(17 * MEGABYTE)]),
    backend.commandComplete('SELECT 0'),
  ]),
};

test.each(Object.entries(tooLong))('%s that no server sends is a breach of protocol', async (_, bytes) => {
  await withServer(
    () => [...login, message('Q'), (session) => session.send(bytes).catch(() => {}), stall()],
    async (options) => {
      const pool = new ours.Pool(options);
      pool.on('error', () => {});
      const { error } = await outcome(pool.query('SELECT word'));
      expect(error.message).toMatch(/^received a message of type \w+ with an impossible length$/);
      expect((await pool.query('SELECT word')).rows).toEqual([ONE]);
      await pool.end();
    },
  );
});

test('a name of a column of a megabyte is a key like any other', async () => {
  const name = '\u0001'.repeat(MEGABYTE);
  await withServer(
    () => [...login, message('Q'), backend.simpleResult([name], [['well']]), skipTo('X')],
    async (options) => {
      const client = new ours.Client(options);
      await client.connect();
      const { rows } = await client.query('SELECT word');
      expect(rows[0][name]).toBe('well');
      await client.end();
    },
  );
});

test('a row of 60 MB takes clearly less memory than under pg', async () => {
  const growth = async (driver) => {
    const code = `
      const { Client } = require(${JSON.stringify(driver)});
      (async () => {
        const client = new Client(${JSON.stringify(config())});
        await client.connect();
        await client.query('SELECT 1');
        const before = process.resourceUsage().maxRSS;
        const { rows } = await client.query("SELECT repeat('x', 60000000) AS word");
        const { maxRSS } = process.resourceUsage();
        await client.end();
        console.log(JSON.stringify([rows[0].word.length, maxRSS - before]));
      })();`;
    // The figure begins with that of the process which starts it: not jest, but a small one.
    const starter = `process.stdout.write(
      require('node:child_process').execFileSync(process.execPath, ['-e', ${JSON.stringify(code)}]))`;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', starter]);
    const [length, kilobytes] = JSON.parse(stdout);
    expect(length).toBe(60_000_000);
    return kilobytes;
  };
  const theirs = await growth(require.resolve('pg'));
  // A copy more of the row would be as much as pg takes.
  expect(await growth(require.resolve('../..'))).toBeLessThan(0.85 * theirs);
});

describe('maxResultBytes', () => {
  const size = 40 * MEGABYTE;
  const row = backend.dataRow(['x'.repeat(size)]);
  const first = row.subarray(0, 64 * 1024);
  const cancelError = backend.errorResponse({ code: '57014', message: 'canceling statement' });
  const refusal = { code: 'RESULT_TOO_LARGE' };

  test('refuses a row by its header, before the row has come', async () => {
    let refused;
    const wait = new Promise((resolve) => (refused = resolve));
    const script = (cancel) => [
      ...login,
      message('Q'),
      backend.rowDescription(['word']),
      first,
      () => Promise.all([cancel, wait]),
      row.subarray(first.length),
      Buffer.concat([backend.dataRow(['y']), cancelError, backend.readyForQuery()]),
      message('Q'),
      ROW,
      skipTo('X'),
    ];
    await withServer(script, async (options, server) => {
      const client = new ours.Client({ ...options, maxResultBytes: MEGABYTE });
      await client.connect();
      await expect(client.query('SELECT word')).rejects.toMatchObject(refusal);
      refused();
      expect((await client.query('SELECT word')).rows).toEqual([ONE]);
      expect(server.received.filter(({ type }) => type === 'startup')).toHaveLength(1);
      await client.end();
    });
  });

  test('takes rows up to the limit, and refuses the one that goes beyond', async () => {
    const rows = Array(10).fill(backend.dataRow(['x'.repeat(1000)]));
    const result = [backend.rowDescription(['word']), ...rows, backend.commandComplete('SELECT 10')];
    const script = () => [
      ...login,
      message('Q'),
      Buffer.concat([...result, backend.readyForQuery()]),
      message('Q'),
      Buffer.concat([...result, backend.readyForQuery()]),
      skipTo('X'),
    ];
    await withServer(script, async (options) => {
      const client = new ours.Client(options);
      await client.connect();
      const bytes = 10 * (rows[0].length - 1);
      const text = 'SELECT word';
      expect((await client.query({ text, maxResultBytes: bytes })).rowCount).toBe(10);
      await expect(client.query({ text, maxResultBytes: bytes - 1 })).rejects.toMatchObject(refusal);
      await client.end();
    });
  });

  test('does not read a row into memory whose query was given up', async () => {
    const script = (cancel) => [
      ...login,
      message('Q'),
      backend.rowDescription(['word']),
      first,
      () => cancel,
      row.subarray(first.length),
      Buffer.concat([cancelError, backend.readyForQuery()]),
      message('Q'),
      ROW,
      skipTo('X'),
    ];
    await withServer(script, async (options, server) => {
      const client = new ours.Client(options);
      await client.connect();
      const controller = new AbortController();
      const query = outcome(client.query({ text: 'SELECT word', signal: controller.signal }));
      await until(() => server.received.some(({ type }) => type === 'Q'));
      controller.abort(new Error('enough'));
      expect((await query).error.message).toBe('enough');
      expect((await client.query('SELECT word')).rows).toEqual([ONE]);
      await client.end();
    });
  });
});
