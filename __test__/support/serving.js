'use strict';

// An HTTP server of the examples, in a process of its own, on a free port and a given database. It
// says `listening on <url>` when it is ready, and is killed at the latest with `kill()`.

const { spawn } = require('node:child_process');
const { once } = require('node:events');

/** Where `getPool` and `new Pool()` find the database, and nothing of what the environment says otherwise. */
function environment({ host, port, user, password, database, ssl }) {
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (/^(DB_|PG)/.test(name)) delete env[name];
  Object.assign(env, { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database });
  if (ssl) env.PGSSLMODE = 'no-verify';
  return { ...env, PORT: '0' };
}

/**
 * @param {string} file the program
 * @param {object} options of the connection, as `config()` gives them
 */
async function serve(file, options) {
  const child = spawn(process.execPath, [file], { env: environment(options), stdio: ['ignore', 'pipe', 'pipe'] });
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
  const options = body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(url, options);
  const text = await response.text();
  const isJson = (response.headers.get('content-type') ?? '').includes('application/json');
  return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
}

module.exports = { serve, ask };
