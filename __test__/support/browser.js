'use strict';

// A Chromium to test the live page in: the one that CHROMIUM names, else the system's, else (on Linux x64) the one
// that the npm package @sparticuz/chromium carries, unpacked once below node_modules/.cache. That one brings the
// libraries and fonts that a bare container lacks.

const fs = require('node:fs');
const path = require('node:path');
const zlib = require('node:zlib');
const { spawnSync } = require('node:child_process');
const { pipeline } = require('node:stream/promises');

const CACHE = path.resolve(__dirname, '..', '..', 'node_modules', '.cache');
const OF_THE_SYSTEM = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
];
// No sandbox: tests run as root in containers, and the page is ours.
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];

const isCarried = process.platform === 'linux' && process.arch === 'x64';
const ofTheSystem = () => process.env.CHROMIUM || OF_THE_SYSTEM.find((candidate) => fs.existsSync(candidate));

/** Whether there is, or has to be, a browser on this platform. */
const hasBrowser = () => isCarried || ofTheSystem() !== undefined;

/** @returns options for playwright's `chromium.launch` */
async function findBrowser() {
  const executablePath = ofTheSystem();
  return executablePath === undefined ? carried() : { executablePath, args: ARGUMENTS };
}

async function carried() {
  const packed = path.resolve(path.dirname(require.resolve('@sparticuz/chromium')), '..', '..');
  const { version } = JSON.parse(fs.readFileSync(path.join(packed, 'package.json'), 'utf8'));
  const home = path.join(CACHE, `chromium-${version}`);
  if (!fs.existsSync(home)) await unpack(path.join(packed, 'bin'), home);
  const executablePath = path.join(home, 'chromium');
  const env = { ...process.env };
  if (!fs.existsSync('/etc/fonts/fonts.conf')) env.FONTCONFIG_FILE = path.join(home, 'fonts', 'fonts.conf');
  if (!starts(executablePath, env)) env.LD_LIBRARY_PATH = path.join(home, 'al2023', 'lib');
  if (!starts(executablePath, env))
    throw new Error(`${executablePath} does not start: ${failure(executablePath, env)}`);
  return { executablePath, args: ARGUMENTS, env };
}

const run = (file, env) => spawnSync(file, ['--version', ...ARGUMENTS], { env, encoding: 'utf8' });
const starts = (file, env) => run(file, env).status === 0;
const failure = (file, env) => run(file, env).stderr.trim();

const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir><cachedir prefix="xdg">fontconfig</cachedir></fontconfig>
`;

/** Into a directory of its own first, so that nobody finds half a browser. */
async function unpack(packed, home) {
  fs.mkdirSync(CACHE, { recursive: true });
  const scratch = fs.mkdtempSync(path.join(CACHE, 'chromium-'));
  for (const name of ['chromium', 'fonts.tar', 'al2023.tar']) {
    const file = path.join(scratch, name);
    await pipeline(
      fs.createReadStream(path.join(packed, `${name}.br`)),
      zlib.createBrotliDecompress(),
      fs.createWriteStream(file, { mode: 0o755 }),
    );
    if (!name.endsWith('.tar')) continue;
    const target = path.join(scratch, name.slice(0, -'.tar'.length));
    fs.mkdirSync(target);
    const { status, stderr } = spawnSync('tar', ['xf', file, '-C', target], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${name} could not be unpacked: ${stderr}`);
    fs.rmSync(file);
  }
  // The package's own leads to where it would be on another machine.
  fs.writeFileSync(path.join(scratch, 'fonts', 'fonts.conf'), FONTS);
  try {
    fs.renameSync(scratch, home);
  } catch (error) {
    fs.rmSync(scratch, { recursive: true, force: true });
    // Somebody else was faster.
    if (!fs.existsSync(home)) throw error;
  }
}

module.exports = { findBrowser, hasBrowser };
