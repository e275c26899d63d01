// The operations of the scenarios as plain functions without arguments, with the
// cheap checks that stay on while measuring, and the fixed calls whose rows all
// contenders must agree on.
'use strict';

const { ARTICLES, AUTHORS } = require('./schema');
const { randomFrom } = require('./statistics');
const { digest } = require('./row-digest');

const AUTHORS_OF_A_REPORT = 20;
const ACQUIRED = 100;
const CHECKED_KEYS = Array.from({ length: 50 }, (_, step) => 1 + step * 2_000 - (step % 2));

function insertedRow(number) {
  return {
    articleId: 1 + (number % ARTICLES),
    kind: 'read',
    payload: { from: 'front page', seconds: number % 300, title: 'It\'s "quoted" — Ünicode' },
    createdAt: new Date(1_700_000_000_000 + number * 1_009),
  };
}

function expectRows(rows, count) {
  if (rows.length !== count) throw new Error(`expected ${count} rows and got ${rows.length}`);
}

// One call of the scenario's operation; `seed` fixes the keys that it asks for.
function operationOf(scenario, adapter, config, seed) {
  const random = randomFrom(seed);
  let inserted = 0;
  switch (scenario.operation) {
    case 'lookup':
      return async () => {
        const id = 1 + Math.floor(random() * ARTICLES);
        const row = await adapter.lookup(id);
        if (row === undefined || row.id !== id) throw new Error(`lookup of ${id} gave another row`);
      };
    case 'insert':
      return async () => {
        const count = await adapter.insert(insertedRow(inserted++));
        if (count !== 1) throw new Error(`insert reported ${count} rows`);
      };
    case 'rows':
      return async () => expectRows(await adapter.rows(scenario.rows), scenario.rows);
    case 'arrays':
    case 'many':
    case 'manyArrays':
    case 'texts':
      return async () => expectRows(await adapter[scenario.operation](scenario.rows), scenario.rows);
    case 'bytes':
      return async () => {
        const [{ bytes }] = await adapter.bytes(scenario.rows);
        if (bytes.length !== scenario.rows)
          throw new Error(`expected ${scenario.rows} bytes and got ${bytes.length}`);
      };
    case 'acquire':
      return () => adapter.acquire(ACQUIRED);
    case 'transaction':
    case 'list':
      return async () => {
        const id = 1 + Math.floor(random() * ARTICLES);
        const counts = await adapter[scenario.operation]({ id, row: insertedRow(inserted++) });
        if (String(counts) !== '1,1,1,1') throw new Error(`the statements reported ${counts} rows`);
      };
    case 'start':
      return async () => expectRows(await adapter.start(config, scenario.rows), scenario.rows);
    case 'cursor':
    case 'copyIn':
    case 'copyOut':
    case 'queryStream':
    case 'stream':
      return async () => {
        const count = await adapter[scenario.operation](scenario.rows);
        if (count !== scenario.rows) throw new Error(`expected ${scenario.rows} rows and got ${count}`);
      };
    case 'complex':
      return async () => {
        const first = 1 + Math.floor(random() * (AUTHORS - AUTHORS_OF_A_REPORT));
        expectRows(await adapter.complex(first, first + AUTHORS_OF_A_REPORT - 1), AUTHORS_OF_A_REPORT);
      };
    case 'simple':
      return async () => expectRows(await adapter.simple(), 1);
    case 'connect':
      return async () => expectRows(await adapter.connectOnce(config), 1);
    default:
      throw new Error(`no operation ${scenario.operation}`);
  }
}

// Every operation once with fixed arguments. The inserted rows are not returned
// here: the orchestrator reads them back itself.
async function checkedRows(adapter, config) {
  await adapter.open(config, 2);
  try {
    const lookups = [];
    for (const id of CHECKED_KEYS) lookups.push(await adapter.lookup(id));
    for (let number = 0; number < 3; number++) await adapter.insert(insertedRow(number));
    return {
      lookup: digest(lookups),
      ...(await checkedAnswers(adapter)),
      'rows of 1,000': digest(await adapter.rows(1_000)),
      'rows of 5,000': digest(await adapter.rows(5_000)),
      simple: digest(await adapter.simple()),
      complex: digest(await adapter.complex(100, 140)),
      connect: digest(await adapter.connectOnce(config)),
    };
  } finally {
    await adapter.close();
  }
}

// Those of operations that not every contender has; a transaction's rows are read back as well.
async function checkedAnswers(adapter) {
  const job = { id: 7, row: insertedRow(7) };
  const calls = {
    arrays: 1_000,
    many: 1_000,
    manyArrays: 1_000,
    texts: 100,
    bytes: 10_000,
    transaction: job,
    list: job,
  };
  const answers = {};
  for (const [operation, argument] of Object.entries(calls)) {
    if (adapter[operation])
      answers[operation] = digest(Array.from(await adapter[operation](argument), (value) => ({ value })));
  }
  return answers;
}

module.exports = { CHECKED_KEYS, operationOf, checkedRows };
