'use strict';

// Makes the manifests ready to be published: gives the platform packages the version of the main
// package and names them as its optional dependencies, and says in all of them which repository they
// come from: npm takes no provenance without it, and links of the README lead there. What only a checkout needs
// (scripts, development dependencies, workspaces, overrides) goes. Every platform package gets the licence and the
// licences of the crates inside it. The platform packages are not named in the repository, because a lockfile cannot hold packages that are not
// published yet and `npm ci` would refuse it. A version that does not follow pg's, or that the changelog does not tell of,
// is refused.
//
// usage: node scripts/release-manifest.js      (in the release workflow; the changes are not committed)

const fs = require('node:fs');
const path = require('node:path');
const { PUBLISHED } = require('../lib/native/platform');
const { notices } = require('./notices');
const { ROOT } = require('./step');

const OF_A_CHECKOUT = ['scripts', 'workspaces', 'allowScripts', 'devDependencies', 'overrides'];
const NOTICES = 'THIRD-PARTY-NOTICES.txt';

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
  const home = `${workflow.GITHUB_SERVER_URL}/${workflow.GITHUB_REPOSITORY}`;
  const links = { homepage: `${home}#readme`, bugs: { url: `${home}/issues` } };
  const url = `git+${home}.git`;
  const texts = { [NOTICES]: notices(), LICENSE: fs.readFileSync(path.join(ROOT, 'LICENSE'), 'utf8') };
  for (const platform of PUBLISHED) {
    const directory = `npm/${platform}`;
    if (!fs.existsSync(path.join(root, directory, `pgpool-rs.${platform}.node`))) {
      throw new Error(`${directory} has no build: a release needs every platform`);
    }
    for (const [name, text] of Object.entries(texts))
      fs.writeFileSync(path.join(root, directory, name), text);
    edit(path.join(root, directory), { version, repository: { type: 'git', url, directory }, ...links });
  }
  edit(root, {
    ...Object.fromEntries(OF_A_CHECKOUT.map((name) => [name, undefined])),
    repository: { type: 'git', url },
    ...links,
    optionalDependencies: Object.fromEntries(PUBLISHED.map((name) => [`pgpool-rs-${name}`, version])),
  });
}

/**
 * The version follows pg's: major and minor are those of pg, the patch number is our own and never below pg's.
 * @throws Error when it does not, and when the changelog does not begin with it
 */
function checkVersion(version, pg, changelog) {
  const [ours, theirs] = [version, pg].map((text) => text.split('.').map(Number));
  if (ours[0] !== theirs[0] || ours[1] !== theirs[1] || !(ours[2] >= theirs[2]))
    throw new Error(`the version is ${version}, which does not follow pg ${pg}`);
  const [, heading, text] = /^## (.*)\n([^]*?)(?=^## |(?![^]))/m.exec(changelog) ?? [];
  if (!heading?.startsWith(`${version} (`) || !/ \(\d{4}-\d\d-\d\d\)$/.test(heading))
    throw new Error(`CHANGELOG.md begins with "${heading}" and not with "${version} (year-month-day)"`);
  if (!text.includes(`Stands in for pg ${pg}.`))
    throw new Error(`CHANGELOG.md does not say of ${version}: Stands in for pg ${pg}.`);
}

function edit(directory, additions) {
  const file = path.join(directory, 'package.json');
  const manifest = { ...JSON.parse(fs.readFileSync(file, 'utf8')), ...additions };
  fs.writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`);
}

if (require.main === module) {
  const { version, devDependencies } = require('../package.json');
  checkVersion(version, devDependencies.pg, fs.readFileSync(path.join(ROOT, 'CHANGELOG.md'), 'utf8'));
  prepareRelease(ROOT, process.env);
}

module.exports = { checkVersion, prepareRelease };
