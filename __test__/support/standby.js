'use strict';

// The data directory of a streaming standby, copied from a running primary as a base backup is
// (the embedded builds bring no pg_basebackup).

const fs = require('node:fs');
const path = require('node:path');
const { Client } = require('pg');

const LEFT_BEHIND = new Set(['postmaster.pid', 'postmaster.opts', 'pg_replslot', 'pg_stat_tmp']);

/**
 * @param primary the running server
 * @param {{ dataDir: string, socketDir: string, port: number }} standby where its copy goes
 */
async function copyPrimary(primary, { dataDir, socketDir, port }) {
  const { host, user, password } = primary;
  const client = new Client({ host, port: primary.port, user, password, database: 'postgres' });
  await client.connect();
  try {
    await client.query("SELECT pg_backup_start('standby', true)");
    const filter = (source) => !LEFT_BEHIND.has(path.relative(primary.dataDir, source));
    copyLiving(primary.dataDir, dataDir, filter);
    const { rows } = await client.query('SELECT labelfile, spcmapfile FROM pg_backup_stop(false)');
    fs.writeFileSync(path.join(dataDir, 'backup_label'), rows[0].labelfile);
    if (rows[0].spcmapfile) fs.writeFileSync(path.join(dataDir, 'tablespace_map'), rows[0].spcmapfile);
  } finally {
    await client.end();
  }
  for (const directory of ['pg_replslot', 'pg_stat_tmp'])
    fs.mkdirSync(path.join(dataDir, directory), { recursive: true });
  fs.writeFileSync(path.join(dataDir, 'standby.signal'), '');
  const source = `host=${host} port=${primary.port} user=${user} password=${password} application_name=standby`;
  const lines = [
    `port = ${port}`,
    `unix_socket_directories = '${socketDir}'`,
    'ssl = off',
    `primary_conninfo = '${source}'`,
  ];
  fs.appendFileSync(path.join(dataDir, 'postgresql.conf'), lines.join('\n') + '\n');
  return listed(dataDir);
}

/** A file may vanish under the copy; what is copied once more is then as right as before. */
function copyLiving(source, target, filter) {
  for (let again = 10; ; again--) {
    try {
      fs.cpSync(source, target, { recursive: true, filter, preserveTimestamps: true });
      return;
    } catch (error) {
      if (error.code !== 'ENOENT' || again === 0) throw error;
    }
  }
}

function listed(directory) {
  const entries = fs.readdirSync(directory, { recursive: true }).map((entry) => path.join(directory, entry));
  return [directory, ...entries];
}

module.exports = { copyPrimary };
