'use strict';

// A HAProxy before a Patroni cluster, which sends connections to the leader: it asks Patroni of each machine for its
// role twice a second, and ends the connections to a machine that does not lead any more.

const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { POSTGRES_PORT, REST_PORT } = require('./cluster');
const { HUB } = require('./network');

const PORT = 5000;

/** @returns {{ host: string, port: number, stop: () => void }} */
function startHaproxy(command, { machines, directory }) {
  const lines = [
    ...['global', 'maxconn 1000', 'defaults', 'mode tcp', 'retries 2'],
    ...['timeout client 30m', 'timeout server 30m', 'timeout connect 1s', 'timeout check 1s'],
    ...[
      'listen leader',
      `bind ${HUB}:${PORT}`,
      'option httpchk OPTIONS /primary',
      'http-check expect status 200',
    ],
    'default-server inter 500ms fastinter 250ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions',
    ...machines.map(
      ({ address }, index) => `server node${index} ${address}:${POSTGRES_PORT} check port ${REST_PORT}`,
    ),
  ];
  const file = path.join(directory, 'haproxy.cfg');
  fs.writeFileSync(file, `${lines.join('\n')}\n`);
  const log = fs.openSync(path.join(directory, 'haproxy.log'), 'a');
  const child = spawn(command, ['-db', '-f', file], { stdio: ['ignore', log, log] });
  fs.closeSync(log);
  return { host: HUB, port: PORT, stop: () => child.kill('SIGKILL') };
}

module.exports = { startHaproxy };
