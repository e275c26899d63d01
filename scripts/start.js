'use strict';

// `npm start`: builds what is missing and runs the news application on a PostgreSQL of its own
// or on the one that the environment names.

const { main } = require('./step');
const { prepare } = require('./prepare');

main(async () => {
  const steps = await prepare({ profile: 'release' });
  if (steps.some(({ ok }) => !ok)) {
    process.exitCode = 1;
    return;
  }
  console.log();
  // In this process, so that signals reach the application itself.
  require('../examples/news-app/start.js');
});
