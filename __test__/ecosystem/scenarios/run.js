'use strict';

// Runs the scenario named by SCENARIO and prints what it returns as the last line.

const pg = require('pg');
const scenario = require(`./${process.env.SCENARIO}`);

const config = JSON.parse(process.env.DATABASE_CONFIG);

scenario(config, pg).then(
  (result) => console.log(`\n${JSON.stringify({ driver: require('pg/package.json').name, result })}`),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
