'use strict';

// What is published, and what an install from this repository needs, agree with each other.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { PUBLISHED, triple } = require('../lib/native/platform');
const { TARGETS, environment } = require('../scripts/build');
const { machinePathsIn } = require('../scripts/machine-paths');
const { isNewer } = require('../scripts/newest-pg');
const { checkVersion, prepareRelease } = require('../scripts/release-manifest');
require('./support/patience');

const ROOT = path.resolve(__dirname, '..');
const read = (file) => JSON.parse(fs.readFileSync(path.join(ROOT, file), 'utf8'));
const manifest = read('package.json');
const scratch = [];

function temporaryDirectory() {
  scratch.push(fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-packaging-')));
  return scratch.at(-1);
}

afterAll(() => {
  for (const directory of scratch) fs.rmSync(directory, { recursive: true, force: true });
});

test('there is a package and a build for this platform and for all that are promised', () => {
  expect(PUBLISHED).toContain(triple());
  expect(fs.readdirSync(path.join(ROOT, 'npm')).sort()).toEqual(PUBLISHED);
  expect(Object.values(TARGETS).sort()).toEqual(PUBLISHED);
  const { matrix } = /(?<matrix>\n {2}build:[^]*)/.exec(
    fs.readFileSync(path.join(ROOT, '.github/workflows/ci.yml'), 'utf8'),
  ).groups;
  expect([...matrix.matchAll(/target: ([\w-]+)/g)].map((match) => match[1]).sort()).toEqual(
    Object.keys(TARGETS).sort(),
  );
});

test.each(PUBLISHED)(
  'the package for %s is installed there only, and carries its name, version and file',
  (platform) => {
    const [system, cpu, abi] = platform.split('-');
    const libc = { gnu: ['glibc'], musl: ['musl'] }[abi];
    expect(read(`npm/${platform}/package.json`)).toEqual({
      name: `pgpool-rs-${platform}`,
      version: manifest.version,
      description: expect.any(String),
      license: manifest.license,
      author: manifest.author,
      main: `pgpool-rs.${platform}.node`,
      files: [`pgpool-rs.${platform}.node`, 'THIRD-PARTY-NOTICES.txt'],
      engines: manifest.engines,
      // A native part cannot be loaded out of Yarn's archives.
      preferUnplugged: true,
      os: [system],
      cpu: [cpu],
      ...(libc && { libc }),
    });
  },
);

test('what is published is the face, lib/ and the texts, and none of it is left out', () => {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const report = execFileSync('npm', args, {
    cwd: ROOT,
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const packed = Object.values(JSON.parse(report))[0].files.map((file) => file.path);
  const lib = fs
    .readdirSync(path.join(ROOT, 'lib'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile());
  const sources = lib.map((entry) =>
    path
      .relative(ROOT, path.join(entry.parentPath ?? entry.path, entry.name))
      .split(path.sep)
      .join('/'),
  );
  const face = [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'index.d.mts',
    'index.d.ts',
    'index.js',
    'index.mjs',
    'package.json',
  ];
  expect(packed.sort()).toEqual([...face, ...sources].sort());
});

test('import and require give the same, but for what pg gives to require only', () => {
  const code = `
    import * as names from 'pgpool-rs';
    import { createRequire } from 'node:module';
    const face = createRequire(import.meta.url)('pgpool-rs');
    const [missing, other] = [Object.keys(face).filter((name) => !(name in names)), Object.keys(names).filter((name) => names[name] !== face[name])];
    process.stdout.write(JSON.stringify({ missing, other }));`;
  const found = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  expect(JSON.parse(found)).toEqual({ missing: ['_pools', 'utils'], other: ['default'] });
});

describe('a release', () => {
  const workflow = {
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_REPOSITORY: 'someone/news',
    GITHUB_REF_NAME: `v${manifest.version}`,
  };
  const url = 'git+https://github.com/someone/news.git';

  function checkout() {
    const root = temporaryDirectory();
    fs.cpSync(path.join(ROOT, 'npm'), path.join(root, 'npm'), { recursive: true });
    fs.copyFileSync(path.join(ROOT, 'package.json'), path.join(root, 'package.json'));
    for (const platform of PUBLISHED)
      fs.writeFileSync(path.join(root, 'npm', platform, `pgpool-rs.${platform}.node`), '');
    return root;
  }

  test('names its platform packages, and all name the repository', () => {
    const root = checkout();
    prepareRelease(root, workflow);
    const main = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
    expect(Object.keys(main.optionalDependencies)).toEqual(PUBLISHED.map((name) => `pgpool-rs-${name}`));
    expect(main.repository).toEqual({ type: 'git', url });
    for (const platform of PUBLISHED) {
      const { name, version, repository } = JSON.parse(
        fs.readFileSync(path.join(root, 'npm', platform, 'package.json'), 'utf8'),
      );
      expect(version).toBe(main.optionalDependencies[name]);
      expect(repository).toEqual({ type: 'git', url, directory: `npm/${platform}` });
    }
  });

  test('carries nothing that only a checkout needs, and says where to ask', () => {
    const root = checkout();
    prepareRelease(root, workflow);
    const main = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
    expect(Object.keys(main)).not.toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^(scripts|workspaces|allowScripts|devDependencies|overrides)$/),
      ]),
    );
    expect(main.dependencies).toEqual(manifest.dependencies);
    expect(main).toMatchObject({
      homepage: 'https://github.com/someone/news#readme',
      bugs: { url: 'https://github.com/someone/news/issues' },
    });
  });

  test('brings the licences of what is inside the native part, without a path of the machine that built it', () => {
    const root = checkout();
    prepareRelease(root, workflow);
    for (const platform of PUBLISHED) {
      const notices = fs.readFileSync(path.join(root, 'npm', platform, 'THIRD-PARTY-NOTICES.txt'), 'utf8');
      for (const crate of ['tokio', 'rustls', 'ring', 'postgres-protocol']) {
        expect(notices).toMatch(new RegExp(`^${crate} \\d+\\.\\d+\\.\\d+: `, 'm'));
      }
      expect(notices).toContain('Apache License');
      expect(notices).not.toContain(os.homedir());
      expect(fs.readFileSync(path.join(root, 'npm', platform, 'LICENSE'), 'utf8')).toContain('MIT License');
    }
  });

  test('wants a build for every platform, and a tag that is the version', () => {
    const root = checkout();
    expect(() => prepareRelease(root, { ...workflow, GITHUB_REF_NAME: 'v1.0.0' })).toThrow(
      'the tag is v1.0.0',
    );
    fs.rmSync(path.join(root, 'npm/darwin-x64/pgpool-rs.darwin-x64.node'));
    expect(() => prepareRelease(root, workflow)).toThrow('npm/darwin-x64 has no build');
  });
});

test('a build that is published is made without paths of this machine, and searched for them', () => {
  const { RUSTFLAGS } = environment('release', 'x86_64-unknown-linux-musl');
  if (!/\s/.test(ROOT)) expect(RUSTFLAGS).toContain(`--remap-path-prefix=${ROOT}=pgpool-rs`);
  expect(RUSTFLAGS).toContain('-C target-feature=-crt-static');
  expect(environment('dev')).toBe(process.env);

  const file = path.join(temporaryDirectory(), 'library');
  fs.writeFileSync(file, `\0crates/tokio/src/lib.rs\0${ROOT}\0`);
  expect(machinePathsIn(file)).toEqual([]);
  fs.writeFileSync(file, `\0${path.join(ROOT, 'src', 'lib.rs')}\0`);
  expect(machinePathsIn(file)).toContain(ROOT + path.sep);
});

describe('without a native part', () => {
  let root;

  beforeAll(() => {
    root = path.join(temporaryDirectory(), 'node_modules', manifest.name);
    for (const file of ['package.json', 'index.js', 'lib'])
      fs.cpSync(path.join(ROOT, file), path.join(root, file), { recursive: true });
    for (const name of Object.keys(manifest.dependencies))
      fs.symlinkSync(path.join(ROOT, 'node_modules', name), path.join(root, '..', name));
  });

  test('the package is loaded, and pools and clients cannot be made', () => {
    const code = `
      const { Pool, Client, getPool } = require('.');
      for (const make of [() => new Pool(), () => new Client(), () => getPool('admin')]) {
        try {
          make();
          console.log('nothing thrown');
        } catch ({ code }) {
          console.log(code);
        }
      }`;
    const env = { ...process.env, PGPOOL_RS_NATIVE: '' };
    const shown = execFileSync(process.execPath, ['-e', code], { cwd: root, env, encoding: 'utf8' });
    expect(shown).toBe('ERR_PGPOOL_NATIVE\n'.repeat(3));
  });

  test('the error names the package of another platform that is there', () => {
    const other = path.join(root, '..', `pgpool-rs-${PUBLISHED.find((name) => name !== triple())}`);
    fs.mkdirSync(other);
    fs.writeFileSync(path.join(other, 'index.js'), '');
    const message = messageOf({});
    fs.rmSync(other, { recursive: true });
    expect(message).toContain(
      `Beside it is ${path.basename(other)}: node_modules is that of another system.`,
    );
    expect(messageOf({})).not.toContain('Beside it');
  });

  test('the error tells bundles, and installs without optional packages, what to do', () => {
    const message = messageOf({});
    expect(message).toContain('--omit=optional');
    expect(message).toContain('mark pgpool-rs as external');
  });

  function messageOf({ platform = process.platform, native = '' }) {
    const code = `
      Object.defineProperty(process, 'platform', { value: ${JSON.stringify(platform)} });
      try {
        require('./lib/native');
      } catch ({ code, message }) {
        process.stdout.write(code + '\\n' + message);
      }`;
    const env = { ...process.env, PGPOOL_RS_NATIVE: native };
    return execFileSync(process.execPath, ['-e', code], { cwd: root, env, encoding: 'utf8' });
  }

  test('the error names what was tried, and the package to install', () => {
    const message = messageOf({});
    expect(message).toMatch(/^ERR_PGPOOL_NATIVE\npgpool-rs has no native part for /);
    expect(message).toContain(`pgpool-rs.${triple()}.node: not there\n`);
    expect(message).toContain(`  pgpool-rs-${triple()}: not there\n`);
    expect(message).toContain(`pgpool-rs-${triple()} is an optional dependency`);
  });

  test('the error of a platform that no release serves says which are served', () => {
    expect(messageOf({ platform: 'freebsd' })).toContain(`There are builds for ${PUBLISHED.join(', ')}.`);
  });

  test('a build that does not load is told from one that is not there', () => {
    const file = path.join(root, `pgpool-rs.${triple()}.node`);
    fs.writeFileSync(file, 'not a library');
    const message = messageOf({});
    fs.rmSync(file);
    expect(message).not.toContain(`pgpool-rs.${triple()}.node: not there`);
    expect(message).toContain('It was found and does not load on this system.');
  });

  test.each([
    ['9.9.9', "{ version: () => '9.9.9' }"],
    ['unknown', '{}'],
  ])('a build of version %s is not loaded, and the error names both versions', (other, bridge) => {
    const native = path.join(root, 'other.js');
    fs.writeFileSync(native, `exports.Bridge = ${bridge};`);
    const message = messageOf({ native });
    expect(message).toContain(`its version is ${other}, and this package's is ${manifest.version}\n`);
    expect(message).toContain(`install pgpool-rs-${triple()}@${manifest.version}`);
  });

  test('PGPOOL_RS_NATIVE is named where it leads nowhere', () => {
    expect(messageOf({ native: path.join(root, 'nowhere.node') })).toMatch(
      /nowhere\.node: not there\nPGPOOL_RS_NATIVE names/,
    );
  });
});

describe('the version', () => {
  const changelog = (heading, pg = '8.23.1') =>
    `# Changelog\n\n## ${heading}\n\nStands in for pg ${pg}.\n\n## 8.22.0 (2026-01-02)\n\nStands in for pg 8.22.0.\n`;
  const dated = (version) => changelog(`${version} (2026-12-01)`);

  test.each(['8.23.1', '8.23.2', '8.23.10'])('%s stands in for pg 8.23.1', (version) => {
    checkVersion(version, '8.23.1', dated(version));
  });

  test.each(['8.23.0', '8.24.1', '9.23.1'])('%s does not stand in for pg 8.23.1', (version) => {
    expect(() => checkVersion(version, '8.23.1', dated(version))).toThrow('does not follow pg 8.23.1');
  });

  test.each(['Unreleased', '8.23.2', '8.23.1 (soon)', '8.23.10 (2026-12-01)'])(
    '8.23.1 is not released while the changelog begins with %s',
    (heading) => {
      expect(() => checkVersion('8.23.1', '8.23.1', changelog(heading))).toThrow(`begins with "${heading}"`);
    },
  );

  test('is not released while the changelog does not name its pg, whatever older versions say', () => {
    expect(() => checkVersion('8.23.1', '8.23.1', changelog('8.23.1 (2026-12-01)', '8.22.0'))).toThrow(
      'does not say of 8.23.1: Stands in for pg 8.23.1.',
    );
  });

  test('of this checkout is in the table of versions, with its pg', () => {
    const { version, devDependencies } = manifest;
    checkVersion(version, devDependencies.pg, dated(version));
    const guide = fs.readFileSync(path.join(ROOT, 'docs/guide/compatibility.md'), 'utf8');
    expect(guide).toContain(`| ${version} | ${devDependencies.pg} |`);
  });
});

test.each([
  ['8.23.2', '8.23.1', true],
  ['8.24.0', '8.23.9', true],
  ['9.0.0', '8.99.9', true],
  ['8.23.1', '8.23.1', false],
  ['8.9.9', '8.23.1', false],
])('pg %s is newer than %s: %s', (one, other, expected) => {
  expect(isNewer(one, other)).toBe(expected);
});

test('every development dependency is pinned', () => {
  const pinned = /^\d+\.\d+\.\d+(-[\w.]+)?$/;
  const loose = Object.entries(manifest.devDependencies).filter(([, version]) => !pinned.test(version));
  expect(loose).toEqual([]);
});

test('workflows pin every action by its commit, and name no host of a registry', () => {
  const folder = path.join(ROOT, '.github/workflows');
  const workflows = fs.readdirSync(folder).map((file) => fs.readFileSync(path.join(folder, file), 'utf8'));
  const used = workflows.flatMap((text) =>
    [...text.matchAll(/uses: (\S+@\S+)/g)].map(([, action]) => action),
  );
  expect(used.length).toBeGreaterThan(5);
  expect(used.filter((action) => !/@[0-9a-f]{40}$/.test(action))).toEqual([]);
  expect(workflows.join('\n')).not.toMatch(/registry\.|registry-url/);
});

test('users get neither the test servers nor a registry address', () => {
  expect(manifest.optionalDependencies).toBeUndefined();
  const lock = read('package-lock.json');
  const addresses = Object.entries(lock.packages).filter(([, { resolved }]) => resolved?.includes('://'));
  expect(addresses).toEqual([]);
});
