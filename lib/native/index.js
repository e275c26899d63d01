'use strict';

// The native part: the file that PGPOOL_RS_NATIVE names, else a local build beside package.json, else the package of
// this platform. One that was built for another version of this package is not loaded: the two speak to each other by
// numbers of their own. Where none of them loads, the error says what was tried and what to do.

const path = require('node:path');
const { version } = require('../../package.json');
const { PUBLISHED, triple } = require('./platform');

function candidates() {
  if (process.env.PGPOOL_RS_NATIVE) return [path.resolve(process.env.PGPOOL_RS_NATIVE)];
  const name = triple();
  return [path.join(__dirname, '..', '..', `pgpool-rs.${name}.node`), `pgpool-rs-${name}`];
}

// Deployers that trace files, and bundlers, follow literal names only. In a `try` they pass over what is not installed.
function attempt(candidate) {
  try {
    switch (candidate) {
      case 'pgpool-rs-darwin-arm64':
        return { native: require('pgpool-rs-darwin-arm64') };
      case 'pgpool-rs-darwin-x64':
        return { native: require('pgpool-rs-darwin-x64') };
      case 'pgpool-rs-linux-arm64-gnu':
        return { native: require('pgpool-rs-linux-arm64-gnu') };
      case 'pgpool-rs-linux-arm64-musl':
        return { native: require('pgpool-rs-linux-arm64-musl') };
      case 'pgpool-rs-linux-x64-gnu':
        return { native: require('pgpool-rs-linux-x64-gnu') };
      case 'pgpool-rs-linux-x64-musl':
        return { native: require('pgpool-rs-linux-x64-musl') };
      case 'pgpool-rs-win32-x64-msvc':
        return { native: require('pgpool-rs-win32-x64-msvc') };
      default:
        return { native: require(candidate) };
    }
  } catch (error) {
    return { candidate, error, absent: error.code === 'MODULE_NOT_FOUND' };
  }
}

function load() {
  const failures = [];
  for (const candidate of candidates()) {
    const outcome = attempt(candidate);
    if (outcome.native === undefined) failures.push(outcome);
    else if (versionOf(outcome.native) === version) return outcome.native;
    else failures.push({ candidate, error: new OtherVersion(versionOf(outcome.native)), absent: false });
  }
  throw explained(failures);
}

// A build of before versions were compiled in, or something else.
const versionOf = (native) => native.Bridge?.version?.() ?? 'unknown';

class OtherVersion extends Error {
  constructor(other) {
    super(`its version is ${other}, and this package's is ${version}`);
  }
}

function explained(failures) {
  // A build that does not load explains more than one that is absent.
  const telling = failures.find(({ absent }) => !absent) ?? failures[0];
  const tried = failures.map(({ candidate, error, absent }) => {
    return `  ${candidate}: ${absent ? 'not there' : error.message.split('\n')[0]}`;
  });
  /** @type {NodeJS.ErrnoException} */
  const failure = new Error(
    `pgpool-rs has no native part for ${triple()} (Node ${process.version}). Tried:\n${tried.join('\n')}\n${advice(telling)}`,
    { cause: telling.error },
  );
  failure.code = 'ERR_PGPOOL_NATIVE';
  return failure;
}

/** The packages of other platforms that are installed: the node_modules is that of another system. */
function otherPlatforms() {
  return PUBLISHED.filter((name) => name !== triple())
    .map((name) => `pgpool-rs-${name}`)
    .filter(isInstalled);
}

function isInstalled(name) {
  try {
    require.resolve(name);
    return true;
  } catch {
    return false;
  }
}

function advice({ error, absent }) {
  if (isForbidden(error)) {
    return 'The permission model of Node is on: it loads native packages with --allow-addons alone.';
  }
  if (error instanceof OtherVersion) {
    return `Both must be of one version: install pgpool-rs-${triple()}@${version}, or build again in a checkout.`;
  }
  if (process.env.PGPOOL_RS_NATIVE)
    return 'PGPOOL_RS_NATIVE names what is to be loaded; without it the installed one is.';
  if (!PUBLISHED.includes(triple())) {
    return `There are builds for ${PUBLISHED.join(', ')}. For another platform, \`npm run build\` in a checkout makes one.`;
  }
  if (!absent) return 'It was found and does not load on this system.';
  const others = otherPlatforms();
  const found =
    others.length === 0 ? '' : `Beside it is ${others.join(', ')}: node_modules is that of another system.\n`;
  return (
    `${found}pgpool-rs-${triple()} is an optional dependency: install on the system that runs it, with optional dependencies ` +
    '(without --omit=optional), and from a lockfile that lists it. A bundle needs it in a node_modules beside it: mark ' +
    'pgpool-rs as external. In a checkout, `npm run build` makes it.'
  );
}

function isForbidden(error) {
  return error.code === 'ERR_DLOPEN_DISABLED' || error.code === 'ERR_ACCESS_DENIED';
}

const native = load();

// Lines of the log are written by a thread of its own: the exit waits for the last ones, but not long. One listener
// serves the process, however often this file is evaluated (a test runner does so for each of its files).
const FLUSHES = Symbol.for('pgpool-rs.flushes-at-exit');
if (process.env.PGPOOL_LOG && !process[FLUSHES]) {
  Object.defineProperty(process, FLUSHES, { value: true });
  process.on('exit', () => native.Telemetry.flush());
}

module.exports = native;
