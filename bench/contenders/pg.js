// pg with its defaults: the reference of every ratio.
'use strict';

const { nodePostgresAdapter } = require('../node-postgres-adapter');

module.exports = {
  package: 'pg',
  load: () => nodePostgresAdapter(require('pg')),
};
