'use strict';

// Platform names of the builds of the native part: operating system, processor and, where it matters, the C library
// or the compiler's ABI (`linux-x64-gnu`, `win32-x64-msvc`).

/** Platforms for which a release has a build, one package under npm/ each. */
const PUBLISHED = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
  'win32-x64-msvc',
];

/** Whether Node is linked against glibc: on a musl system its report names no version of glibc. */
function isGlibc() {
  /** @type {any} */
  const { report } = process;
  if (!report) return true;
  // Network interfaces are not needed here, and asking for their names can take long.
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    return Boolean(report.getReport().header.glibcVersionRuntime);
  } finally {
    report.excludeNetwork = before;
  }
}

function triple(platform = process.platform, arch = process.arch) {
  if (platform === 'linux') return `linux-${arch}-${isGlibc() ? 'gnu' : 'musl'}`;
  if (platform === 'win32') return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}

module.exports = { PUBLISHED, triple };
