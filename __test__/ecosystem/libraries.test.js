'use strict';

// Real libraries, installed beside this package under pg's name and used as their users use them. Each
// scenario runs on node-postgres and on this package, each on an empty database of its own, and has to
// return the same.

const { makeProject } = require('./project');
const { freshDatabase } = require('../support/server');

const LIBRARIES = [
  'connect-pg-simple',
  'databases-pg',
  'drizzle-orm',
  'graphile-worker',
  'knex',
  'keyv',
  'kysely',
  'mikro-orm',
  'nestjs-typeorm',
  'node-pg-migrate',
  'objection',
  'pg-boss',
  'pg-copy-streams',
  'pg-cursor',
  'pg-ipc',
  'pg-listen',
  'pg-pool',
  'pg-promise',
  'pg-pubsub',
  'pg-query-stream',
  'pg-transactional-tests',
  'prisma-adapter-pg',
  'rate-limiter-flexible',
  'sequelize',
  'slonik',
  'socket.io-postgres-adapter',
  'typeorm',
];

const projects = {};

beforeAll(async () => {
  for (const driver of ['pg', 'pgpool-rs']) projects[driver] = await makeProject(driver);
});

afterAll(() => {
  for (const project of Object.values(projects)) project.remove();
});

async function play(driver, scenario) {
  const database = await freshDatabase();
  try {
    const env = { SCENARIO: scenario, DATABASE_CONFIG: JSON.stringify(database.config()) };
    const printed = await projects[driver].run('scenarios/run.js', env);
    const { driver: used, result } = JSON.parse(printed.trim().split('\n').pop());
    expect(used).toBe(driver);
    return result;
  } finally {
    await database.drop();
  }
}

test.each(LIBRARIES)('%s works as on pg', async (library) => {
  const [expected, result] = await Promise.all([play('pg', library), play('pgpool-rs', library)]);
  expect(Object.keys(expected).length).toBeGreaterThan(0);
  expect(result).toEqual(expected);
});
