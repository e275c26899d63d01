'use strict';

// Cleans up after a process that could not: runs as a child of whoever started a server, learns
// through its standard input which process is running, and when that input ends without `done`
// - the owner ended in whatever way, SIGKILL included - stops the server and removes its files.
//
// usage: node watchdog.js <directory>      input lines: pid <n> | pid 0 | done

const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { setTimeout: pause } = require('node:timers/promises');
const { alive, freeSharedMemory } = require('./postmaster');

const directory = process.argv[2];
const PATIENCE = 5000;
let pid = 0;
let done = false;

// A Ctrl-C reaches the whole terminal; the owner's end is the only signal that counts here.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [word, value] = line.split(' ');
  if (word === 'pid') pid = Number(value);
  if (word === 'done') done = true;
});
lines.on('close', async () => {
  if (done) return;
  if (pid !== 0) await stop();
  freeSharedMemory(path.join(directory, 'data'));
  fs.rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

// An immediate shutdown lets the server take its children and its shared memory along.
async function stop() {
  for (const signal of ['SIGCONT', 'SIGQUIT', 'SIGKILL']) {
    const deadline = Date.now() + (signal === 'SIGCONT' ? 0 : PATIENCE);
    try {
      process.kill(pid, process.platform === 'win32' ? undefined : signal);
    } catch {
      return;
    }
    while (alive(pid) && Date.now() < deadline) await pause(10);
    if (!alive(pid)) return;
  }
}
