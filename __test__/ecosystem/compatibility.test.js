'use strict';

// docs/guide/compatibility.md beside what is tested: every scenario has its line, every line its version.

const fs = require('node:fs');
const path = require('node:path');
const { devDependencies } = require('../../package.json');
const { RUNTIMES } = require('../../scripts/smoke');

const GUIDE = fs.readFileSync(path.join(__dirname, '..', '..', 'docs', 'guide', 'compatibility.md'), 'utf8');
const NO_LIBRARIES = ['names.mjs', 'paths.js', 'run.js'];
// Scenarios that are not called as their library is.
const NAMES = {
  'databases-pg': '@databases/pg',
  keyv: '@keyv/postgres',
  'mikro-orm': '@mikro-orm/postgresql',
  'nestjs-typeorm': '@nestjs/typeorm',
  'prisma-adapter-pg': '@prisma/adapter-pg',
  'socket.io-postgres-adapter': '@socket.io/postgres-adapter',
};

const told = [...GUIDE.matchAll(/^\| `([^`]+)`[^|]* \| ([\d.]+) \| (?:alias|pool) \|/gm)].map(
  ([, name, version]) => [name, version],
);

test('the guide tells of every library that is tested, in its version', () => {
  const tested = fs
    .readdirSync(path.join(__dirname, 'scenarios'))
    .filter((file) => !NO_LIBRARIES.includes(file))
    .map((file) => path.basename(file, '.js'))
    .map((scenario) => NAMES[scenario] ?? scenario);
  expect(told.map(([name]) => name)).toEqual([...tested].sort());
  for (const [name, version] of told) expect([name, devDependencies[name]]).toEqual([name, version]);
});

test('the guide tells of every runtime of the walk', () => {
  for (const { version } of RUNTIMES) expect(GUIDE).toContain(version);
});
