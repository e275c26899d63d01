'use strict';

// An HTTP server of the examples, in a process of its own, on a free port and a given database. It
// says `listening on <url>` when it is ready, and is killed at the latest with `kill()`.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { environment } = require('./server');
const { until } = require('./until');

/**
 * @param {string} file the program
 * @param {object} options of the connection, as `config()` gives them
 */
async function serve(file, options) {
  const child = spawn(process.execPath, [file], {
    env: environment(options, { PORT: '0' }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  let said = '';
  const url = await new Promise((resolve, reject) => {
    const read = (chunk) => {
      said += chunk;
      const ready = /listening on (\S+)/.exec(said);
      if (ready) resolve(ready[1]);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', () => reject(new Error(`the server ended: ${said}`)));
  });
  return {
    url,
    said: () => said,
    /** Resolves to the exit code of a server that is told to stop. */
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await exited;
      return code;
    },
    kill: () => child.kill('SIGKILL'),
  };
}

/** Asks a server for JSON: `{ status, body, headers }`. */
async function ask(url, body) {
  const options =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(url, options);
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('application/json');
  return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
}

/** As `ask`, and again while the server says that its pool is busy. */
function askUntilServed(url, body) {
  return until(async () => {
    const answer = await ask(url, body);
    return answer.status !== 503 && answer;
  });
}

module.exports = { serve, ask, askUntilServed };
