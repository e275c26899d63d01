// pg with named statements, the way its users avoid repeated parsing.
'use strict';

const { nodePostgresAdapter } = require('../node-postgres-adapter');

module.exports = {
  package: 'pg',
  load: () => nodePostgresAdapter(require('pg'), { named: true }),
};
