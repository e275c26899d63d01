'use strict';

// Machines on one network: each has a network namespace of its own and an address, and is connected to a bridge in the
// namespace of this process. It can lose its network, stand still, and lose all its processes. To be used in a network
// and process namespace of one's own (`ISOLATED`), with which everything ends.

const fs = require('node:fs');
const { execFileSync, spawn } = require('node:child_process');
const { once } = require('node:events');
const { until } = require('../until');

const NOBODY = 65534;
const PREFIX = '10.77.0';
/** The address of this process. */
const HUB = `${PREFIX}.1`;
const FIRST_MACHINE = 11;

// The shell is the first process of the namespace, and collects those that lost their parent.
const ISOLATED = [
  ...['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc'],
  ...['sh', '-c', 'ip link set lo up; "$0" "$@"; exit $?'],
];

const ip = (...words) => execFileSync('ip', words, { stdio: 'pipe' });

function makeNetwork() {
  ip('link', 'add', 'hub', 'type', 'bridge');
  ip('address', 'add', `${HUB}/24`, 'dev', 'hub');
  ip('link', 'set', 'hub', 'up');
}

class Machine {
  #holder;
  #wire;

  static async make(index) {
    const machine = new Machine(index);
    await machine.#connect();
    return machine;
  }

  constructor(index) {
    this.address = `${PREFIX}.${FIRST_MACHINE + index}`;
    this.#wire = `wire${index}`;
    // A namespace lives as long as a process in it.
    this.#holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
  }

  async #connect() {
    const { pid } = this.#holder;
    await until(() => namespaceOf(pid) !== namespaceOf('self'), { what: 'a namespace' });
    ip('link', 'add', this.#wire, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid));
    ip('link', 'set', this.#wire, 'master', 'hub', 'up');
    const inside = (...words) =>
      execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', ...words], { stdio: 'pipe' });
    inside('link', 'set', 'lo', 'up');
    inside('address', 'add', `${this.address}/24`, 'dev', 'eth0');
    inside('link', 'set', 'eth0', 'up');
  }

  /** Starts a program on it, without root's rights. */
  spawn(program, args, options) {
    const words = [`--net=/proc/${this.#holder.pid}/ns/net`, '-S', `${NOBODY}`, '-G', `${NOBODY}`];
    return spawn('nsenter', [...words, program, ...args], options);
  }

  /** What is sent to it or by it vanishes. */
  cut() {
    ip('link', 'set', this.#wire, 'down');
  }

  connect() {
    ip('link', 'set', this.#wire, 'up');
  }

  freeze() {
    this.#signalAll('SIGSTOP');
  }

  thaw() {
    this.#signalAll('SIGCONT');
  }

  /** Kills all its processes, and resolves when they are gone. */
  async kill() {
    await until(() => this.#signalAll('SIGKILL') === 0, { what: `the processes of ${this.address} to end` });
  }

  async stop() {
    await this.kill();
    const ended = once(this.#holder, 'exit');
    this.#holder.kill('SIGKILL');
    await ended;
  }

  /** Returns how many there were. A process may start another one meanwhile. */
  #signalAll(signal) {
    const known = new Set();
    for (let isNew = true; isNew; ) {
      const more = this.#processes().filter((pid) => !known.has(pid));
      isNew = more.length > 0;
      for (const pid of more) {
        known.add(pid);
        send(pid, signal);
      }
    }
    return known.size;
  }

  #processes() {
    const own = namespaceOf(this.#holder.pid);
    return fs
      .readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && namespaceOf(name) === own)
      .map(Number)
      .filter((pid) => pid !== this.#holder.pid);
  }
}

/** None of a process that has ended. */
function namespaceOf(pid) {
  try {
    return fs.readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function send(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

module.exports = { HUB, ISOLATED, Machine, NOBODY, makeNetwork };
