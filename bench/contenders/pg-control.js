// pg once more, in a process of its own. What it differs from pg is the noise
// of the machine, and the measure for every other ratio.
'use strict';

module.exports = require('./pg');
