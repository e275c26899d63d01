// The one line of this application that names its driver.

'use strict';

module.exports = require(process.env.NEWS_DRIVER || 'pgpool-rs');
