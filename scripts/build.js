'use strict';

// Builds the native part and puts it beside package.json under the name that lib/native/index.js looks
// for. The new file takes the old one's place in one step, so that a process that has the old one
// loaded keeps it.
//
// usage: node scripts/build.js [--release] [--target <Rust target>] [--zig]
//   --zig builds through cargo-zigbuild, which links against an old glibc: see the release workflow
//
// A build for a named target is one that is published: it must have no path of this machine inside.

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { triple } = require('../lib/native/platform');
const { machinePathsIn, remapFlags } = require('./machine-paths');
const { ROOT, run, main } = require('./step');

const TARGETS = {
  'x86_64-unknown-linux-gnu': 'linux-x64-gnu',
  'x86_64-unknown-linux-musl': 'linux-x64-musl',
  'aarch64-unknown-linux-gnu': 'linux-arm64-gnu',
  'aarch64-unknown-linux-musl': 'linux-arm64-musl',
  'x86_64-apple-darwin': 'darwin-x64',
  'aarch64-apple-darwin': 'darwin-arm64',
  'x86_64-pc-windows-msvc': 'win32-x64-msvc',
};
const OLDEST_GLIBC = '2.17';

const targetDirectory = () => path.resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target');
const addon = (name = triple()) => path.join(ROOT, `pgpool-rs.${name}.node`);
const stampFile = () => path.join(targetDirectory(), 'pgpool-rs-build.json');

function library(target) {
  if (target.startsWith('win32')) return 'pgpool_rs.dll';
  return target.startsWith('darwin') ? 'libpgpool_rs.dylib' : 'libpgpool_rs.so';
}

/** Whether a local build of that profile is there and no source is newer than its beginning. */
function isBuilt(profile) {
  try {
    const stamp = JSON.parse(fs.readFileSync(stampFile(), 'utf8'));
    return (
      stamp.profile === profile && stamp.size === fs.statSync(addon()).size && newestSource() <= stamp.begin
    );
  } catch {
    return false;
  }
}

function newestSource() {
  const files = ['Cargo.toml', 'Cargo.lock', 'build.rs'];
  for (const entry of fs.readdirSync(path.join(ROOT, 'src'), { recursive: true }))
    files.push(path.join('src', entry));
  return Math.max(...files.map((file) => fs.statSync(path.join(ROOT, file)).mtimeMs));
}

async function build({ profile = 'dev', target, zig = false } = {}) {
  if (target && !TARGETS[target])
    throw new Error(`unknown target ${target}; known: ${Object.keys(TARGETS).join(', ')}`);
  const begin = Date.now();
  const args = [zig ? 'zigbuild' : 'build', '--lib', '--profile', profile];
  if (target) args.push('--target', zig && target.endsWith('-gnu') ? `${target}.${OLDEST_GLIBC}` : target);
  await run('cargo', args, { env: environment(profile, target) }).catch((error) => {
    throw error.cause?.code === 'ENOENT' ? withoutRust() : error;
  });

  const name = target ? TARGETS[target] : triple();
  const folder = path.join(targetDirectory(), target ?? '', profile === 'dev' ? 'debug' : profile);
  const place = addon(name);
  const fresh = `${place}.${process.pid}.new`;
  fs.copyFileSync(path.join(folder, library(name)), fresh);
  const told = target && profile === 'release' ? machinePathsIn(fresh) : [];
  if (told.length > 0) throw new Error(`paths of this machine are inside the build: ${told.join(', ')}`);
  fs.renameSync(fresh, place);
  if (!target)
    fs.writeFileSync(stampFile(), JSON.stringify({ profile, begin, size: fs.statSync(place).size }));
  return place;
}

function withoutRust() {
  const message = `The native part is built with Rust, and there is no cargo on the PATH.
  Get Rust from https://rustup.rs (Linux and macOS: curl https://sh.rustup.rs -sSf | sh), version ${oldestRust()} or later,
  open a new terminal and run the same command again. Whoever installs the package from npm needs no Rust.`;
  return Object.assign(new Error(message), { isExit: true, exitCode: 1 });
}

const oldestRust = () =>
  /^rust-version = "(.+)"/m.exec(fs.readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8'))[1];

function environment(profile, target) {
  // Of a release only: other flags than cargo's own would have everything built twice.
  const flags = profile === 'release' ? remapFlags() : [];
  // A musl target is linked statically by default, which a library that Node loads cannot be.
  if (target?.endsWith('-musl')) flags.push('-C target-feature=-crt-static');
  if (flags.length === 0) return process.env;
  return { ...process.env, RUSTFLAGS: [process.env.RUSTFLAGS ?? '', ...flags].join(' ').trim() };
}

if (require.main === module) {
  main(async () => {
    const { values } = parseArgs({
      options: { release: { type: 'boolean' }, target: { type: 'string' }, zig: { type: 'boolean' } },
    });
    const place = await build({
      profile: values.release ? 'release' : 'dev',
      target: values.target,
      zig: values.zig,
    });
    console.log(path.relative(ROOT, place));
  });
}

module.exports = { TARGETS, build, environment, isBuilt };
