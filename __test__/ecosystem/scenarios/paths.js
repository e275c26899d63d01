'use strict';

// The deep paths that published libraries take, and what they find there.

const pg = require('pg');

const PATHS = [
  'client',
  'connection',
  'connection-parameters',
  'defaults',
  'index',
  'query',
  'result',
  'type-overrides',
  'utils',
];

const found = PATHS.map((path) => {
  const plain = require(`pg/lib/${path}`);
  return [path, typeof plain, plain === require(`pg/lib/${path}.js`), plain.name];
});
const parameters = new (require('pg/lib/connection-parameters'))('postgres://u:p@h:1/d');
const { major } = /^(?<major>\d+)\./.exec(require('pg/package.json').version).groups;

console.log(
  JSON.stringify({
    found,
    same: [
      require('pg/lib/client') === pg.Client,
      require('pg/lib/query') === pg.Query,
      require('pg/lib/result') === pg.Result,
      require('pg/lib/defaults') === pg.defaults,
      require('pg/lib/type-overrides') === pg.TypeOverrides,
      require('pg/lib/index') === pg,
    ],
    parameters: [parameters.user, parameters.host, parameters.port, parameters.database],
    major,
  }),
);
