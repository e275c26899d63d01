'use strict';

// Tells when a newer pg is published than the one that this package stands in for. Run on a schedule by CI.
//
// usage: node scripts/newest-pg.js      (exits with 1 when there is a newer one)

const { execFileSync } = require('node:child_process');
const { devDependencies } = require('../package.json');
const { main } = require('./step');

const newest = () =>
  execFileSync('npm', ['view', 'pg', 'version'], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  }).trim();

/** Whether version `one` comes after `other`; both are releases. */
function isNewer(one, other) {
  const [left, right] = [one, other].map((version) => version.split('.').map(Number));
  const first = left.findIndex((part, index) => part !== right[index]);
  return first !== -1 && left[first] > right[first];
}

if (require.main === module) {
  main(async () => {
    const [published, ours] = [newest(), devDependencies.pg];
    if (!isNewer(published, ours)) {
      console.log(`pg ${published} is the newest, and we stand in for ${ours}`);
      return;
    }
    console.log(`pg ${published} is published, and we stand in for ${ours}: follow its changes`);
    process.exitCode = 1;
  });
}

module.exports = { isNewer };
