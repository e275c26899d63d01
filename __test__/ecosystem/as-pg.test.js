'use strict';

// This package as it would be published, unpacked under pg's name.

const path = require('node:path');
const { makeProject } = require('./project');

let theirs;
let ours;

beforeAll(async () => {
  theirs = await makeProject('pg');
  ours = await makeProject('pgpool-rs');
});

afterAll(() => {
  theirs.remove();
  ours.remove();
});

test.each(['names.mjs', 'paths.js'])('%s finds what it finds in pg', async (file) => {
  const script = path.join('scenarios', file);
  const [expected, result] = await Promise.all([theirs.run(script), ours.run(script)]);
  expect(JSON.parse(result)).toEqual(JSON.parse(expected));
});

test('its version satisfies the peer ranges of libraries that want pg 8', () => {
  const { version } = require('../../package.json');
  const [major, minor] = version.split('.').map(Number);
  expect([major, minor >= 23]).toEqual([8, true]);
});
