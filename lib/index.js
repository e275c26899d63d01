'use strict';

// The path by which pg's own entry can be required, too.

module.exports = require('../index.js');
