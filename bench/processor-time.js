// Processor time of this process and of its JavaScript thread alone. Linux
// counts the latter in nanoseconds (schedstat); newer Node versions offer it
// themselves. Elsewhere it is unknown, not zero. All figures in microseconds.
'use strict';

const fs = require('node:fs');

// The main thread's id is the process id. A container may hide schedstat.
const SCHEDSTAT = `/proc/self/task/${process.pid}/schedstat`;

function chooseThreadClock() {
  if (readable(SCHEDSTAT)) {
    return () => Number(fs.readFileSync(SCHEDSTAT, 'latin1').split(' ')[0]) / 1e3;
  }
  if (typeof process.threadCpuUsage === 'function') {
    return () => {
      const { user, system } = process.threadCpuUsage();
      return user + system;
    };
  }
  return () => NaN;
}

function readable(path) {
  try {
    return Number(fs.readFileSync(path, 'latin1').split(' ')[0]) > 0;
  } catch {
    return false;
  }
}

const threadMicroseconds = chooseThreadClock();

function processorTime() {
  const { user, system } = process.cpuUsage();
  return { process: user + system, thread: threadMicroseconds() };
}

module.exports = { processorTime };
