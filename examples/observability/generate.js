'use strict';

// Writes what is made from the table of names and thresholds: `node examples/observability/generate.js`.
// A test compares the files with what this writes.

const fs = require('node:fs');
const path = require('node:path');

const FILES = {
  'alerts.yml': () => require('./alerts').file(),
  'dashboard.json': () => require('./dashboard').file(),
};

if (require.main === module) {
  for (const [name, make] of Object.entries(FILES)) {
    const file = path.join(__dirname, name);
    fs.writeFileSync(file, make());
    console.log(`wrote ${path.relative(process.cwd(), file)}`);
  }
}

module.exports = { FILES };
