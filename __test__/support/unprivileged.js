'use strict';

// PostgreSQL refuses to run as root. This file decides, once for a set of binaries, how a
// process of theirs is started: as we are, as the user `nobody`, or - where `nobody` may not
// reach the binaries, as in a checkout below a private home - in a user namespace in which we
// appear as `nobody`.

const fs = require('node:fs');
const { spawn, spawnSync } = require('node:child_process');

const NOBODY = 65534;

/**
 * @returns {{ spawn: Function, own: (path: string) => void }} `spawn` starts a program without
 *   root's rights; `own` hands it a file or directory.
 */
function unprivileged(probe) {
  if (typeof process.getuid !== 'function' || process.getuid() !== 0) {
    return { spawn, own() {} };
  }
  const direct = spawnSync(probe, ['--version'], { uid: NOBODY, gid: NOBODY });
  if (direct.status === 0) {
    return {
      spawn: (file, args, options) => spawn(file, args, { ...options, uid: NOBODY, gid: NOBODY }),
      own: (path) => fs.chownSync(path, NOBODY, NOBODY),
    };
  }
  const namespace = ['--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`];
  const mapped = spawnSync('unshare', [...namespace, probe, '--version']);
  if (mapped.status === 0) {
    // unshare replaces itself by the program, so the child's pid is the program's.
    return {
      spawn: (file, args, options) => spawn('unshare', [...namespace, file, ...args], options),
      own() {},
    };
  }
  throw new Error(
    `cannot start ${probe} without root's rights: ${direct.error?.message ?? direct.stderr}` +
      `; in a user namespace: ${mapped.error?.message ?? mapped.stderr}`,
  );
}

module.exports = { unprivileged };
