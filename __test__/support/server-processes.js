'use strict';

// The processes of a server, by the system's list (Linux), to stop all of them, let them go on, or kill them. The
// postmaster alone is not enough: a process that stands still does not notice that the postmaster ended.

const fs = require('node:fs');

/** The postmaster, first, and its children. */
function processesOf({ pid }) {
  const all = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return [pid, ...all.filter((name) => parentOf(name) === pid).map(Number)];
}

function parentOf(name) {
  try {
    // The second field is the program's name in brackets and may hold blanks.
    const [, parent] = fs
      .readFileSync(`/proc/${name}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return Number(parent);
  } catch {
    return undefined;
  }
}

function signalAll(server, signal) {
  // The pid of a server that has ended is 0, which would mean everybody here.
  if (server.pid === 0) return;
  for (const pid of processesOf(server)) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}

module.exports = { processesOf, signalAll };
