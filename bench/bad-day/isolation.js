'use strict';

// A network and a list of mounts of a row's own, where the system gives them (Linux, as root): its connects can then
// be counted, its local ports made scarce, and its host names taken away. Elsewhere the rows that need it are skipped.

const { spawnSync } = require('node:child_process');

const WITH_LOOPBACK = 'ip link set lo up && exec "$0" "$@"';
const NAMESPACES = ['unshare', '--net', '--mount', 'sh', '-c', WITH_LOOPBACK];

/** The words before a command that give it a network of its own; none where that cannot be had. */
function isolation() {
  if (process.platform !== 'linux' || process.getuid() !== 0) return [];
  const { status } = spawnSync(NAMESPACES[0], [...NAMESPACES.slice(1), 'true'], { stdio: 'ignore' });
  return status === 0 ? NAMESPACES : [];
}

module.exports = { isolation };
