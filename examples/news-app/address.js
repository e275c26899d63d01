// Where the newspaper is served: PORT (default 3000, 0 for any) and HOST
// (default loopback). A taken port gives way to a free one.

'use strict';

const DEFAULT_PORT = 3000;
const DEFAULT_HOST = '127.0.0.1';

function fromEnvironment(env) {
  const port = env.PORT === undefined || env.PORT === '' ? DEFAULT_PORT : Number(env.PORT);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new Error('PORT must be a number from 0 to 65535');
  return { port, host: env.HOST || DEFAULT_HOST };
}

function attempt(server, port, host) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      resolve(server.address().port);
    });
  });
}

// Resolves with the URL to open; says so when the port is not the asked one.
async function listen(server, { port, host }) {
  const used = await attempt(server, port, host).catch((err) => {
    if (err.code !== 'EADDRINUSE') throw err;
    console.log(`port ${port} is taken, using a free one`);
    return attempt(server, 0, host);
  });
  return { port: used, url: `http://${host.includes(':') ? `[${host}]` : host}:${used}/` };
}

module.exports = { fromEnvironment, listen };
