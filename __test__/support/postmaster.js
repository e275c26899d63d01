'use strict';

// What a server's process tells about itself: whether it lives, and the lock file it keeps in its
// data directory (pid, state, shared memory segment).

const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const LINE_PID = 0;
const LINE_SHARED_MEMORY = 6;
const LINE_STATE = 7;
// Of Linux.
const SEGMENTS = '/proc/sysvipc/shm';
const COLUMN_ID = 1;
const COLUMN_ATTACHED = 6;

function alive(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
  return !isZombie(pid);
}

// A process that ended but was not yet collected by its parent still takes signals.
function isZombie(pid) {
  try {
    return /\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function lockFile(dataDir) {
  let lines;
  try {
    lines = fs.readFileSync(path.join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return null;
  }
  return {
    pid: Number(lines[LINE_PID]),
    state: (lines[LINE_STATE] ?? '').trim(),
    segment: (lines[LINE_SHARED_MEMORY] ?? '').trim().split(/\s+/)[1],
  };
}

/** Whether a process still holds the shared memory of a server that was killed, where the system tells. */
function isAttached(dataDir) {
  const segment = lockFile(dataDir)?.segment;
  if (!segment || !fs.existsSync(SEGMENTS)) return false;
  const segments = fs
    .readFileSync(SEGMENTS, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const found = segments.find((columns) => columns[COLUMN_ID] === segment);
  return found !== undefined && found[COLUMN_ATTACHED] !== '0';
}

// A server that was killed outright leaves its System V segment; one that shut down has no lock
// file any more, and nothing is done.
function freeSharedMemory(dataDir) {
  const lock = lockFile(dataDir);
  if (!lock?.segment || process.platform === 'win32' || alive(lock.pid)) return;
  spawnSync('ipcrm', ['-m', lock.segment], { stdio: 'ignore' });
}

module.exports = { alive, freeSharedMemory, isAttached, lockFile };
