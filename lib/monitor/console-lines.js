'use strict';

// The lines of a monitor on a console: one per sample, one per change of an alert. Without a console of the
// application's the global one gets them, unless PGPOOL_LOG is `off`; it gets no alert that the core writes to standard
// error anyway. A console that throws harms nobody.

const { callSafely } = require('./safe-emit');

class Console {
  /** @param target with `log` and `warn`, as the global console */
  constructor(target, writesAlerts) {
    this.target = target;
    this.writesAlerts = writesAlerts;
  }

  /** The console that the option `log` of a monitor asks for; null: none. */
  static of(log, pool, env = process.env) {
    if (log === false) return null;
    if (log === undefined || log === null) {
      const wanted = String(env.PGPOOL_LOG || '')
        .trim()
        .toLowerCase();
      const coreWrites = wanted !== '' || Boolean(pool.options && pool.options.isTier);
      return wanted === 'off' ? null : new Console(console, !coreWrites);
    }
    if (typeof log.log !== 'function' || typeof log.warn !== 'function')
      throw new TypeError('log must be a console, with the methods log and warn, or false');
    return new Console(log, true);
  }

  sample({ name, totalConnections, idleConnections, waitingRequests, errors, lastError }) {
    const counts = `connections ${totalConnections}, idle ${idleConnections}, waiting ${waitingRequests}, errors ${errors}`;
    const last = lastError === null ? '' : `, last error: ${lastError.message}`;
    this.write('log', `[${name ?? 'pool'}] ${counts}${last}`);
  }

  alert({ tier, rule, turn, value, threshold, unit, causes }) {
    if (!this.writesAlerts) return;
    const why = causes.map(({ text }) => text).join('; ');
    const line = `[${tier ?? 'pool'}] alert ${rule} ${turn}: ${amount(value, unit)}, limit ${amount(threshold, unit)}`;
    this.write(turn === 'cleared' ? 'log' : 'warn', why === '' ? line : `${line}; ${why}`);
  }

  write(method, line) {
    callSafely(this.target[method], this.target, harmless(line));
  }
}

/** The line with its control characters and those of bidirectional text escaped, as in the lines of the core. */
function harmless(line) {
  return line.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, (letter) => {
    return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function amount(value, unit) {
  return unit === 'ratio' ? `${Math.round(value * 1000) / 10}%` : `${Math.round(value)} ${unit}`;
}

module.exports = { Console };
