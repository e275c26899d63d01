'use strict';

// PgBouncer out of Debian's packages, unpacked and not installed: no root, nothing outside of
// node_modules/.cache, and a second run finds it there. Beside that of the machine's own suite there is the newest,
// which brings its own libraries and is started through the loader among them. The mirror is the one
// that apt is set up with. Synchronous, for tests are declared by what is there.

const fs = require('node:fs');
const path = require('node:path');
const { execFileSync } = require('node:child_process');

const CACHE = path.resolve(__dirname, '../../node_modules/.cache/pgpool-rs');
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
// Where the newest is.
const NEWEST = 'sid';
// An unreachable mirror is to cost seconds.
const NETWORK = ['Acquire::Retries=0', 'Acquire::http::Timeout=10', 'Acquire::https::Timeout=10'];
const MOST_MILLIS = 120_000;

/** What can be had here: `{ name, command, args }` each, and why another cannot. */
function packagedPgBouncers() {
  const found = [];
  const missing = [];
  let own;
  try {
    own = ownSuite();
  } catch (error) {
    return { found, missing: [error.message] };
  }
  for (const suite of new Set([own.suite, NEWEST])) {
    const directory = path.join(CACHE, `pgbouncer-${suite}`);
    try {
      if (!fs.existsSync(directory)) fetchInto(directory, { ...own, suite, isOwn: suite === own.suite });
      found.push({ name: `of Debian ${suite}`, ...startable(directory) });
    } catch (error) {
      missing.push(`pgbouncer of Debian ${suite} cannot be had: ${reason(error)}`);
    }
  }
  return { found, missing };
}

function reason(error) {
  const lines = String(error.stderr || error.message)
    .trim()
    .split('\n');
  return lines.at(-1);
}

/** The machine's Debian suite and the mirror it comes from. */
function ownSuite() {
  if (process.platform !== 'linux') throw new Error('pgbouncer is had on Debian only');
  let text;
  try {
    const format = '$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)';
    text = execFileSync('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
  } catch {
    throw new Error('pgbouncer is not installed, and there is no apt to get it with');
  }
  const targets = text
    .trim()
    .split('\n')
    .map((line) => line.split('|'));
  const isMain = ([, , , codename, component]) => component === 'main' && /^[a-z]+$/.test(codename);
  // Before the first update apt does not know whose a mirror is.
  const isDebian = ([origin, , uri]) =>
    origin === 'Debian' || (!/^\w/.test(origin) && /\/debian\/?$/.test(uri));
  const target = targets.find((one) => isMain(one) && isDebian(one));
  if (target === undefined) throw new Error('pgbouncer is not installed, and this is no Debian');
  return { mirror: target[2], suite: target[3] };
}

/** apt-get and apt-cache with lists of their own, or with the machine's. */
class Apt {
  constructor(directory, { mirror, suite }) {
    this.directory = directory;
    this.options = [];
    const lists = path.join(directory, 'lists');
    const archives = path.join(directory, 'cache', 'archives');
    for (const made of [lists, archives]) fs.mkdirSync(path.join(made, 'partial'), { recursive: true });
    const signed = fs.existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : '';
    const sources = path.join(directory, 'sources.list');
    fs.writeFileSync(sources, `deb ${signed}${mirror} ${suite} main\n`);
    this.own = [
      ...[`Dir::Etc::sourcelist=${sources}`, 'Dir::Etc::sourceparts=-', `Dir::State::lists=${lists}`],
      ...[`Dir::Cache=${path.join(directory, 'cache')}`, 'Acquire::Languages=none'],
      'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false',
    ];
  }

  update() {
    this.options = this.own;
    this.run('apt-get', ['update', '-q']);
  }

  run(program, args) {
    const options = [...this.options, ...NETWORK, 'APT::Sandbox::User=root'].flatMap((option) => [
      '-o',
      option,
    ]);
    return execFileSync(program, [...options, ...args], {
      cwd: this.directory,
      encoding: 'utf8',
      stdio: 'pipe',
      timeout: MOST_MILLIS,
      maxBuffer: 2 ** 26,
      env: { ...process.env, LC_ALL: 'C' },
    });
  }

  /** What each package depends on, as far as a walk from `name` leads. */
  dependencies(name) {
    const only = [
      '--no-recommends',
      '--no-suggests',
      '--no-conflicts',
      '--no-breaks',
      '--no-replaces',
      '--no-enhances',
    ];
    const graph = new Map();
    let needed = [];
    for (const line of this.run('apt-cache', ['depends', '--recurse', ...only, name]).split('\n')) {
      const [, other] = /^ [ |](?:Pre)?Depends: (\S+)/.exec(line) ?? [];
      if (other !== undefined) needed.push(other);
      else if (/^\w/.test(line)) graph.set(line.trim(), (needed = []));
    }
    return graph;
  }
}

/** Unpacks PgBouncer and the libraries it needs; the directory is there whole or not at all. */
function fetchInto(directory, { mirror, suite, isOwn }) {
  fs.mkdirSync(CACHE, { recursive: true });
  const work = fs.mkdtempSync(path.join(CACHE, 'fetching-'));
  try {
    const apt = new Apt(work, { mirror, suite });
    const download = () =>
      apt.run('apt-get', ['download', '-q', ...withLibraries(apt.dependencies('pgbouncer'), 'pgbouncer')]);
    if (!(isOwn && succeeds(download))) {
      apt.update();
      download();
    }
    const root = path.join(work, 'root');
    for (const file of fs.readdirSync(work).filter((name) => name.endsWith('.deb'))) {
      execFileSync('dpkg-deb', ['-x', path.join(work, file), root], { stdio: 'pipe' });
    }
    try {
      fs.renameSync(root, directory);
    } catch (error) {
      // Another test process was quicker.
      if (!fs.existsSync(directory)) throw error;
    }
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

/** Whether the machine's own lists are there, and of today. */
function succeeds(download) {
  try {
    download();
    return true;
  } catch {
    return false;
  }
}

/** The package and the libraries that it needs; what installs or configures it is left out. */
function withLibraries(graph, name) {
  const names = new Set([name]);
  for (const one of names) {
    for (const other of graph.get(one) ?? []) if (other.startsWith('lib')) names.add(other);
  }
  return [...names];
}

function startable(root) {
  const directories = [];
  let loader;
  const walk = (directory) => {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) walk(file);
      else if (entry.isFile() && /^ld-linux.*\.so\.\d$/.test(entry.name)) loader = file;
      if (/\.so(\.|$)/.test(entry.name) && directories.at(-1) !== directory) directories.push(directory);
    }
  };
  for (const top of ['lib', 'usr/lib']) if (fs.existsSync(path.join(root, top))) walk(path.join(root, top));
  if (loader === undefined) throw new Error('its loader is not among its files');
  const libraries = [...new Set(directories)].join(':');
  return { command: loader, args: ['--library-path', libraries, path.join(root, 'usr/sbin/pgbouncer')] };
}

module.exports = { packagedPgBouncers };
