'use strict';

// The package managers that an application may be installed with, each as published on npm: which files it is set up
// by, how it installs, and how a program is run under it. Their caches are inside the project, so that nothing of a run
// is left to another one.

const fs = require('node:fs');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { cachedPackage } = require('../../scripts/cached-package');

const node = (file) => [file];
const resolutions = (target) => target && { resolutions: { pg: target } };

const npmrc = (url) => `registry=${url}\ncache=.npm-cache\naudit=false\nfund=false\nupdate-notifier=false\n`;
const yarnrc = (url, linker) =>
  [
    `npmRegistryServer: "${url}"`,
    'unsafeHttpWhitelist: ["127.0.0.1"]',
    `nodeLinker: ${linker}`,
    'pnpEnableEsmLoader: true',
    'enableGlobalCache: false',
    'enableTelemetry: false',
    'enableImmutableInstalls: false',
    'compressionLevel: 0',
    'npmMinimalAgeGate: 0',
    '',
  ].join('\n');

/**
 * `files`: what it is configured by, of the registry's address and, under an alias, of the target of pg.
 * `manifest`: what package.json has beside the dependencies so that the alias holds for libraries, too.
 */
const MANAGERS = [
  {
    name: 'npm',
    install: ['install'],
    files: (url) => ({ '.npmrc': npmrc(url) }),
    run: node,
  },
  {
    name: 'pnpm',
    package: ['pnpm', '10.34.9', 'bin/pnpm.cjs'],
    install: ['install', '--no-frozen-lockfile'],
    files: (url, target) => ({
      '.npmrc': `registry=${url}\nstore-dir=.store\ncache-dir=.cache\nstate-dir=.state\n`,
      'pnpm-workspace.yaml': `packages: []\n${target ? `overrides:\n  pg: ${target}\n` : ''}`,
    }),
    run: node,
  },
  {
    name: 'Yarn 1',
    package: ['yarn', '1.22.22', 'bin/yarn.js'],
    install: ['install', '--non-interactive', '--cache-folder', '.cache'],
    files: (url) => ({ '.yarnrc': `registry "${url}"\n`, '.npmrc': npmrc(url) }),
    manifest: resolutions,
    run: node,
  },
  {
    name: 'Yarn 4, node-modules',
    package: ['@yarnpkg/cli-dist', '4.18.1', 'bin/yarn.js'],
    install: ['install'],
    files: (url) => ({ '.yarnrc.yml': yarnrc(url, 'node-modules'), 'yarn.lock': '' }),
    manifest: resolutions,
    run: node,
  },
  {
    name: "Yarn 4, Plug'n'Play",
    package: ['@yarnpkg/cli-dist', '4.18.1', 'bin/yarn.js'],
    install: ['install'],
    files: (url) => ({ '.yarnrc.yml': yarnrc(url, 'pnp'), 'yarn.lock': '' }),
    manifest: resolutions,
    run: (file) => ['-r', './.pnp.cjs', '--loader', './.pnp.loader.mjs', file],
    isPlugAndPlay: true,
  },
];

/** Those that can be had here; why another cannot be is told on standard error. */
function packageManagers() {
  return MANAGERS.filter((manager) => {
    try {
      manager.program = manager.package && programOf(manager.package);
      return true;
    } catch (error) {
      process.stderr.write(`skipped: installing with ${manager.name}: ${error.message}\n`);
      return false;
    }
  });
}

const programOf = ([name, version, file]) => path.join(cachedPackage(name, version), file);

/** Installs the project of `directory`; resolves to all that was printed, and fails with it. */
function install({ program, install: args }, directory) {
  if (program) return execute(process.execPath, [program, ...args], directory);
  return execute('npm', args, directory, { shell: process.platform === 'win32' });
}

/** Runs a program in the project; resolves to all that it printed. */
function execute(command, args, directory, { variables, shell } = {}) {
  const options = { cwd: directory, shell, env: { ...environment(directory), ...variables } };
  return new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      const output = stdout + stderr;
      if (error)
        reject(new Error(`${path.basename(command)} ${args.join(' ')}:\n${output}`, { cause: error }));
      else resolve(output);
    });
  });
}

// What npm and jest tell their children is not meant for the project, and neither is what this user has set up.
function environment(directory) {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|yarn_|pnpm_|node_|jest_|ci$|init_cwd)/i.test(name),
  );
  const home = path.join(directory, '.home');
  fs.mkdirSync(home, { recursive: true });
  const direct = { NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1' };
  return { ...Object.fromEntries(inherited), HOME: home, USERPROFILE: home, ...direct };
}

module.exports = { packageManagers, install, execute };
