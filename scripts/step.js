'use strict';

// One step of a script: a line when it begins, its output as it comes, a line with its time when
// it ends.

const { spawn } = require('node:child_process');
const path = require('node:path');

const ROOT = path.resolve(__dirname, '..');

// Handed on to the program that runs, which ends and thereby ends us.
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/** Runs `work`; resolves to `{ title, ok, time }`, having told what went wrong. */
async function step(title, work) {
  const begin = Date.now();
  console.log(`\n▸ ${title}`);
  let ok = true;
  try {
    await work();
  } catch (error) {
    ok = false;
    console.error(error.isExit ? error.message : error);
  }
  const time = seconds(begin);
  console.log(`${ok ? '✓' : '✗'} ${title} (${time})`);
  return { title, ok, time };
}

/** Runs a program with our own input and output; rejects unless it ends with 0. */
function run(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: ROOT, stdio: 'inherit', ...options });
    let interrupted = false;
    const forward = (signal) => {
      interrupted = true;
      child.kill(signal);
    };
    for (const signal of SIGNALS) process.on(signal, forward);
    child.on('close', () => {
      for (const signal of SIGNALS) process.off(signal, forward);
    });
    child.on('error', (cause) => reject(new Error(`cannot start ${file}: ${cause.message}`, { cause })));
    child.on('exit', (code, signal) => {
      // No further step after a Ctrl-C.
      if (interrupted) process.exit(1);
      if (code === 0) return resolve();
      const error = new Error(`${path.basename(file)} ${args.join(' ')} ended with ${signal ?? code}`);
      reject(Object.assign(error, { isExit: true, exitCode: code ?? 1 }));
    });
  });
}

/** Runs the command line program of an installed package. */
function runPackage(name, args, options) {
  const { bin } = require(path.join(ROOT, 'node_modules', name, 'package.json'));
  const program = typeof bin === 'string' ? bin : Object.values(bin)[0];
  return run(process.execPath, [path.join(ROOT, 'node_modules', name, program), ...args], options);
}

function npm(args) {
  // npm tells the scripts it runs where it is; by hand it is looked for on the PATH.
  const self = process.env.npm_execpath;
  if (self?.endsWith('.js')) return run(process.execPath, [self, ...args]);
  return run('npm', args, { shell: process.platform === 'win32' });
}

/** Runs a script's main function; anything it throws ends the process with 1. */
function main(body) {
  body().catch((error) => {
    console.error(error.isExit ? error.message : error);
    process.exitCode = 1;
  });
}

module.exports = { ROOT, step, run, runPackage, npm, main };
