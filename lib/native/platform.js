'use strict';

// The name of this platform among the builds of the native part: platform, processor and, where
// it matters, the C library or the compiler's ABI (`linux-x64-gnu`, `win32-x64-msvc`).

/** The platforms that a release brings a build for, one package under npm/ each. */
const PUBLISHED = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
  'win32-x64-msvc',
];

/** Whether Node itself is linked against glibc; on a musl system its report names no version of it. */
function isGlibc() {
  const { report } = process;
  if (!report) return true;
  // Asking the network interfaces for their names can take long and is not needed here.
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
