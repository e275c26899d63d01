// One run of the bench: finds a server, starts the contenders, lets them agree on
// the rows, and measures them round by round in shuffled order.
'use strict';

const { Client } = require('pg');
const { create } = require('./contender-names');
const { describeEnvironment } = require('./environment');
const { Results, REFERENCE } = require('./results');
const { createSchema, dropSchema, emptyEvents } = require('./schema');
const { WRITES } = require('./scenarios');
const { findServer } = require('./server');
const { randomFrom, shuffled } = require('./statistics');
const { verify } = require('./verification');

function progress(text) {
  process.stderr.write(`${text}\n`);
}

function announceDuration(contenders, scenarios, { rounds, seconds, warmup }) {
  const measurements = scenarios.reduce(
    (sum, scenario) => sum + contenders.filter((contender) => contender.supports(scenario)).length,
    0,
  );
  progress(
    `${rounds * measurements} measurements, about ${Math.ceil((rounds * measurements * (seconds + warmup + 0.15)) / 60)} min`,
  );
}

async function loadContenders(names, unbuilt, started) {
  const loaded = [];
  const absent = [];
  for (const name of names) {
    const contender = create(name);
    started.push(contender);
    const reason = unbuilt.get(name) ?? (await contender.load());
    if (reason === undefined) loaded.push(contender);
    else {
      absent.push({ name, reason });
      progress(`${name} is absent: ${reason}`);
    }
  }
  if (!loaded.some(({ name }) => name === REFERENCE))
    throw new Error(`${REFERENCE} cannot be loaded, and every ratio needs it`);
  return { loaded, absent };
}

// A contender that fails is left out from there on; its earlier rounds count.
async function measureRounds(contenders, scenarios, config, client, options, interrupted) {
  const results = new Results();
  const failed = [];
  const order = randomFrom(options.seed);
  for (let round = 1; round <= options.rounds; round++) {
    for (const scenario of scenarios) {
      progress(`round ${round} of ${options.rounds}: ${scenario.title}`);
      for (const contender of shuffled(contenders, order)) {
        if (!contender.supports(scenario) || failed.some(({ name }) => name === contender.name)) continue;
        interrupted.throwIfAborted();
        if (WRITES.has(scenario.operation)) await emptyEvents(client);
        const timing = {
          seconds: options.seconds,
          warmup: options.warmup,
          seed: options.seed * 1_000 + round,
        };
        try {
          results.add(
            scenario.name,
            contender.name,
            round,
            await contender.measure(config, scenario, timing),
          );
        } catch (error) {
          interrupted.throwIfAborted();
          failed.push({ name: contender.name, scenario: scenario.name, reason: error.message });
          progress(`${contender.name} failed in ${scenario.name}: ${error.message}`);
          await contender.stop();
        }
      }
    }
  }
  return { results, failed };
}

// `unbuilt` names contenders that could not be built, with the reason.
async function bench({ options, names, scenarios, unbuilt }, started, interrupted) {
  progress('starting the server');
  const server = await findServer();
  started.push(server);
  const client = new Client({ ...server.config, ssl: false });
  client.on('error', () => {});
  await client.connect();
  started.push({ stop: () => dropSchema(client).finally(() => client.end()) });

  const { loaded, absent } = await loadContenders(names, unbuilt, started);
  progress('creating the tables');
  await createSchema(client);
  const environment = await describeEnvironment(client, server.embedded);
  progress('comparing the rows');
  const differences = await verify(loaded, server.config, client);
  if (differences.length > 0) throw new Error(`not the same rows:\n${differences.join('\n')}`);

  announceDuration(loaded, scenarios, options);
  const { results, failed } = await measureRounds(
    loaded,
    scenarios,
    server.config,
    client,
    options,
    interrupted,
  );
  const contenders = loaded.map(({ name, version }) => ({ name, version }));
  return { results, contenders, absent, failed, environment, command: options.command };
}

module.exports = { bench };
