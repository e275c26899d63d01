// pg on libpq. pg-native is not among the development dependencies, since it
// needs libpq's headers; where it was installed beside pg, it takes part.
'use strict';

const { nodePostgresAdapter } = require('../node-postgres-adapter');

module.exports = {
  package: 'pg-native',
  load() {
    require('pg-native');
    return nodePostgresAdapter(require('pg').native, { bulk: false });
  },
};
