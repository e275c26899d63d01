'use strict';

// Makes the manifests ready to be published: gives the platform packages the version of the main
// package and names them as its optional dependencies, and says in all of them which repository they
// come from: npm takes no provenance without it, and links of the README lead there. The platform
// packages are not named in the repository, because a lockfile cannot hold packages that are not
// published yet and `npm ci` would refuse it.
//
// usage: node scripts/release-manifest.js      (in the release workflow; the changes are not committed)

const fs = require('node:fs');
const path = require('node:path');
const { PUBLISHED } = require('../lib/native/platform');
const { ROOT } = require('./step');

/**
 * @param {string} root the checkout, with a build in each folder of npm/
 * @param {object} workflow what the runner says: GITHUB_SERVER_URL, GITHUB_REPOSITORY, GITHUB_REF_NAME
 * @throws Error when a build is missing, and when the tag is not the version
 */
function prepareRelease(root, workflow) {
  const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
  if (workflow.GITHUB_REF_NAME !== `v${version}`) {
    throw new Error(`the tag is ${workflow.GITHUB_REF_NAME}, the version of package.json ${version}`);
  }
  const url = `git+${workflow.GITHUB_SERVER_URL}/${workflow.GITHUB_REPOSITORY}.git`;
  for (const platform of PUBLISHED) {
    const directory = `npm/${platform}`;
    if (!fs.existsSync(path.join(root, directory, `pgpool-rs.${platform}.node`))) {
      throw new Error(`${directory} has no build: a release needs every platform`);
    }
    edit(path.join(root, directory), { version, repository: { type: 'git', url, directory } });
  }
  edit(root, {
    repository: { type: 'git', url },
    optionalDependencies: Object.fromEntries(PUBLISHED.map((name) => [`pgpool-rs-${name}`, version])),
  });
}

function edit(directory, additions) {
  const file = path.join(directory, 'package.json');
  const manifest = { ...JSON.parse(fs.readFileSync(file, 'utf8')), ...additions };
  fs.writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
}

if (require.main === module) prepareRelease(ROOT, process.env);

module.exports = { prepareRelease };
