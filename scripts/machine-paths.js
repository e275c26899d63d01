'use strict';

// The paths of the machine that builds: its home, its checkout, its toolchain. Every panic would name its file by one
// of them. A release has none inside: rustc writes short names instead, and the file is searched afterwards.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { ROOT } = require('./step');

/** Each path with the name that stands for it. The more exact ones last: of those that fit, rustc takes the last. */
function machinePaths(env = process.env) {
  const home = os.homedir();
  const cargo = env.CARGO_HOME ?? path.join(home, '.cargo');
  const paths = [
    [home, 'home'],
    [env.RUSTUP_HOME ?? path.join(home, '.rustup'), 'rustup'],
    [cargo, 'cargo'],
    [path.join(cargo, 'registry', 'src'), 'crates'],
    [ROOT, 'pgpool-rs'],
    [path.resolve(ROOT, env.CARGO_TARGET_DIR ?? 'target'), 'target'],
  ];
  // A user without a home has the root directory as one.
  return paths.filter(([directory]) => directory !== path.parse(directory).root);
}

/** Flags of rustc. One with a space in it cannot be given in RUSTFLAGS. */
const remapFlags = () =>
  machinePaths()
    .filter(([directory]) => !/\s/.test(directory))
    .map(([directory, name]) => `--remap-path-prefix=${directory}=${name}`);

/** The paths that a file has inside, as far as they are this machine's. */
function machinePathsIn(file) {
  const bytes = fs.readFileSync(file);
  return machinePaths()
    .flatMap(([directory]) => ['/', '\\'].map((separator) => directory + separator))
    .filter((prefix) => bytes.includes(prefix));
}

module.exports = { machinePathsIn, remapFlags };
