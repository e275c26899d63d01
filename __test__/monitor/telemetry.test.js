'use strict';

// OpenTelemetry: its published SDK reads our metrics, its published instrumentation makes spans of our classes.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { context, trace } = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
const {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics');
const {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} = require('@opentelemetry/sdk-trace-base');
const { metrics, useOpenTelemetry } = require('../..');
const { metricsTable } = require('../../lib/monitor/metrics');
const { server } = require('../support/server');
const { open, undo } = require('../support/undo');

function meters() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3600000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  undo.push(() => meterProvider.shutdown());
  const collect = async () => {
    exporter.reset();
    await meterProvider.forceFlush();
    return exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
  };
  return { meterProvider, collect };
}

describe('metrics', () => {
  test('every metric of the table is an instrument with the same numbers', async () => {
    const { meterProvider, collect } = meters();
    undo.push(useOpenTelemetry({ meterProvider }));
    const pool = open({ tier: 'metered' });
    await pool.query('SELECT generate_series(1, 3)');
    await pool.query('SELECT 1 / 0').catch(() => {});
    // The only tier that has a limit of this kind.
    await open({ tier: 'lowPriority', adaptive: 'on' }).query('SELECT 1');
    const collected = await collect();
    const names = collected.map(({ descriptor }) => descriptor.name);
    for (const { name, kind } of metricsTable().metrics) {
      const told =
        kind === 'histogram' ? ['count', 'sum', 'bucket'].map((part) => `${name}.${part}`) : [name];
      expect(names).toEqual(expect.arrayContaining(told));
    }
    const value = (name, attributes = {}) => {
      const { dataPoints } = collected.find(({ descriptor }) => descriptor.name === name);
      const wanted = { 'db.client.connection.pool.name': 'metered', ...attributes };
      return dataPoints.find(
        (point) =>
          JSON.stringify(Object.entries(point.attributes).sort()) ===
          JSON.stringify(Object.entries(wanted).sort()),
      )?.value;
    };
    expect(value('db.client.connection.count', { 'db.client.connection.state': 'idle' })).toBe(1);
    expect(value('db.client.connection.max')).toBe(2);
    expect(value('db.client.operation.duration.count')).toBe(1);
    expect(value('db.client.operation.duration.count', { 'error.type': 'data' })).toBe(1);
    expect(value('db.client.operation.duration.bucket', { le: '+Inf' })).toBe(1);
    expect(value('db.client.response.returned_rows.sum')).toBe(3);
    expect(value('db.client.response.returned_rows.bucket', { le: '2' })).toBe(0);
    expect(value('db.client.response.returned_rows.bucket', { le: '5' })).toBe(1);
    const { sum } = metrics()
      .series.find(({ name }) => name === 'db.client.operation.duration')
      .points.find(
        ({ attributes }) =>
          attributes['db.client.connection.pool.name'] === 'metered' && !attributes['error.type'],
      );
    expect(value('db.client.operation.duration.sum')).toBe(sum);
  });

  test('ended, nothing is observed any more', async () => {
    const { meterProvider, collect } = meters();
    const end = useOpenTelemetry({ meterProvider });
    await open({ tier: 'unmetered' }).query('SELECT 1');
    end();
    expect((await collect()).flatMap(({ dataPoints }) => dataPoints)).toEqual([]);
  });
});

describe('spans of the published instrumentation', () => {
  let exporter;
  beforeEach(() => {
    exporter = new InMemorySpanExporter();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const { meterProvider } = meters();
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    trace.setGlobalTracerProvider(tracerProvider);
    const instrumentation = new PgInstrumentation();
    instrumentation.setTracerProvider(tracerProvider);
    undo.push(() => {
      context.disable();
      trace.disable();
      instrumentation.disable();
    });
    undo.push(useOpenTelemetry({ meterProvider, instrumentation }));
  });

  test('are made for queries of pools and clients, below the span of the caller', async () => {
    const pool = open({ tier: 'spans' });
    const parent = trace.getTracer('test').startSpan('request');
    await context.with(trace.setSpan(context.active(), parent), async () => {
      expect((await pool.query('SELECT $1::int AS one', [1])).rows).toEqual([{ one: 1 }]);
      await new Promise((resolve, reject) =>
        pool.query('SELECT 2', (error) => (error ? reject(error) : resolve())),
      );
      const client = await pool.connect();
      await expect(client.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
      client.release();
    });
    parent.end();
    const spans = exporter.getFinishedSpans();
    const queries = spans.filter(({ name }) => name.startsWith('pg.query:SELECT'));
    expect(
      queries.map(({ attributes }) => attributes['db.query.text'] ?? attributes['db.statement']),
    ).toEqual(['SELECT $1::int AS one', 'SELECT 2', 'SELECT 1 / 0']);
    expect(spans.some(({ name }) => name === 'pg-pool.connect')).toBe(true);
    const { traceId } = parent.spanContext();
    expect(spans.every((span) => span.spanContext().traceId === traceId)).toBe(true);
    expect(queries[2].status).toMatchObject({ code: 2 });
  });

  test('are made no more when it has ended, and queries take the short way again', async () => {
    await undo.pop()();
    await open({ tier: 'unspanned' }).query('SELECT 1');
    expect(exporter.getFinishedSpans()).toEqual([]);
  });
});

test('installed as `pg`, the instrumentation finds this package by itself', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-otel-'));
  undo.push(() => fs.rmSync(root, { recursive: true, force: true }));
  const modules = path.join(root, 'node_modules');
  const own = path.resolve(__dirname, '../..');
  fs.mkdirSync(modules);
  // A copy, as npm would install it: `pg` is what the path says.
  for (const file of ['package.json', 'index.js', 'lib'])
    fs.cpSync(path.join(own, file), path.join(modules, 'pg', file), { recursive: true });
  for (const name of fs.readdirSync(path.join(own, 'node_modules'))) {
    if (name !== 'pg' && !name.startsWith('.'))
      fs.symlinkSync(path.join(own, 'node_modules', name), path.join(modules, name));
  }
  const { host, port, user, password, database } = server();
  fs.writeFileSync(
    path.join(root, 'app.js'),
    `
    const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
    const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
    const { registerInstrumentations } = require('@opentelemetry/instrumentation');
    const exporter = new InMemorySpanExporter();
    const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    registerInstrumentations({ tracerProvider, instrumentations: [new PgInstrumentation()] });
    const pg = require('pg');
    (async () => {
      const pool = new pg.Pool(${JSON.stringify({ host, port, user, password, database })});
      await pool.query('SELECT 1');
      await pool.end();
      console.log(JSON.stringify({ ours: typeof pg.getPool, spans: exporter.getFinishedSpans().map(({ name }) => name) }));
    })();`,
  );
  const PGPOOL_RS_NATIVE =
    process.env.PGPOOL_RS_NATIVE ||
    path.join(own, `pgpool-rs.${require('../../lib/native/platform').triple()}.node`);
  const { stdout } = await promisify(execFile)(process.execPath, ['--preserve-symlinks', 'app.js'], {
    cwd: root,
    env: { ...process.env, PGPOOL_RS_NATIVE },
  });
  const { ours, spans } = JSON.parse(stdout);
  expect(ours).toBe('function');
  expect(spans).toContain(`pg.query:SELECT ${database}`);
});
