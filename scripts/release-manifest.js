'use strict';

// Makes the manifests ready to be published: gives the platform packages the version of the main
// package and names them as its optional dependencies. They are not named in the repository,
// because a lockfile cannot hold packages that are not published yet and `npm ci` would refuse it.
//
// usage: node scripts/release-manifest.js      (in the release workflow; the changes are not committed)

const fs = require('node:fs');
const path = require('node:path');
const { ROOT } = require('./step');

const platforms = () => fs.readdirSync(path.join(ROOT, 'npm')).sort();

function edit(file, change) {
  const place = path.join(ROOT, file);
  const manifest = JSON.parse(fs.readFileSync(place, 'utf8'));
  change(manifest);
  fs.writeFileSync(place, `${JSON.stringify(manifest, null, 2)}\n`);
}

function main() {
  const { version } = require(path.join(ROOT, 'package.json'));
  for (const platform of platforms()) {
    if (!fs.existsSync(path.join(ROOT, 'npm', platform, `pgpool-rs.${platform}.node`))) {
      throw new Error(`npm/${platform} has no build: a release needs every platform`);
    }
    edit(`npm/${platform}/package.json`, (manifest) => (manifest.version = version));
  }
  edit('package.json', (manifest) => {
    manifest.optionalDependencies = Object.fromEntries(platforms().map((name) => [`pgpool-rs-${name}`, version]));
  });
}

if (require.main === module) main();
