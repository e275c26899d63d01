'use strict';

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/__test__/**/*.test.js', '<rootDir>/examples/**/*.test.js'],
  testPathIgnorePatterns: ['/node_modules/', '<rootDir>/target/'],
  modulePathIgnorePatterns: ['<rootDir>/target/', '<rootDir>/npm/'],
  globalSetup: '<rootDir>/__test__/support/global-setup.js',
  globalTeardown: '<rootDir>/__test__/support/global-teardown.js',
  // Sources are plain Node; nothing is transformed.
  transform: {},
  testTimeout: 20_000,
  maxWorkers: 2,
};
