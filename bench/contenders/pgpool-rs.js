// This package, as built in this checkout: pg's code with another module.
'use strict';

const { nodePostgresAdapter } = require('../node-postgres-adapter');

module.exports = {
  package: '../..',
  load: () => nodePostgresAdapter(require('../..')),
};
