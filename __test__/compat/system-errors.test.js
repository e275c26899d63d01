'use strict';

// Errors of the operating system while connecting: code, errno, syscall, address and message are those that pg tells.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const ours = require('../..');
const { alike, inProcess } = require('./alike');

let directory;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-rs-sockets-'));
  fs.writeFileSync(path.join(directory, 'file'), '');
  fs.symlinkSync(path.join(directory, 'loop'), path.join(directory, 'loop'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

const shown = ({ message, code, errno, syscall, address, port }) => ({
  message,
  code,
  errno,
  syscall,
  address,
  port,
});

async function failure(driver, options) {
  const client = new driver.Client(options);
  client.on('error', () => {});
  return client.connect().then(
    () => 'connected',
    (error) => shown(error),
  );
}

const onUnix = process.platform === 'win32' ? describe.skip : describe;

onUnix('the directory of a socket', () => {
  alike('that is a file', (driver) => failure(driver, { host: path.join(directory, 'file') }));
  alike('that is a loop of links', (driver) => failure(driver, { host: path.join(directory, 'loop') }));
  alike('that does not exist', (driver) => failure(driver, { host: path.join(directory, 'none') }));
  alike('whose socket is a directory', (driver) => {
    fs.mkdirSync(path.join(directory, '.s.PGSQL.5433'), { recursive: true });
    return failure(driver, { host: directory, port: 5433 });
  });

  // Older versions of Node cut the name short and try what is left; newer ones say this, too.
  test.each([120, 300])('whose name of %d characters is too long', async (length) => {
    const name = path.join(directory, 'a'.repeat(length));
    const address = `${name}/.s.PGSQL.5432`;
    expect(await failure(ours, { host: name })).toEqual({
      message: `connect EINVAL ${address}`,
      code: 'EINVAL',
      errno: -os.constants.errno.EINVAL,
      syscall: 'connect',
      address,
    });
  });
});

onUnix('a process without a descriptor left', () => {
  // The driver connects once first: what it opens for itself is open then.
  const exhaust = async (driver, options) => {
    const fs = require('node:fs');
    const fails = async (more) => {
      const client = new driver.Client({ ...options, ...more });
      client.on('error', () => {});
      return client.connect().then(
        () => client.end(),
        ({ message, code, errno, syscall }) => [
          message.replace(/\d{4,}|( - Local .*)/g, ''),
          code,
          errno,
          syscall,
        ],
      );
    };
    await fails({});
    const open = [];
    for (;;) {
      try {
        open.push(fs.openSync('/dev/null'));
      } catch {
        break;
      }
    }
    const told = [await fails({ host: '127.0.0.1' }), await fails({ host: '/tmp' })];
    for (const one of open) fs.closeSync(one);
    console.log(JSON.stringify(told));
    process.exit();
  };
  alike('tells EMFILE', (driver, config) => inProcess(driver, config(), exhaust, 'ulimit -n 64'));
});
