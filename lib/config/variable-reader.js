'use strict';

// Reads variables as the kinds of the table of options say, and collects what is wrong with them. An empty variable
// counts as not set. No message repeats a secret.

const fs = require('node:fs');
const { parseConnectionString } = require('./hosts');

const MAX_MILLIS = 0x7fffffff;
const FLAGS = { true: true, false: false, on: true, off: false, yes: true, no: false, 1: true, 0: false };
const TLS = {
  true: true,
  on: true,
  1: true,
  require: true,
  'verify-full': true,
  false: false,
  off: false,
  0: false,
  disable: false,
  'no-verify': 'no-verify',
};

class Reader {
  constructor(env) {
    this.env = env;
    this.problems = [];
    this.files = new Map();
  }

  /** The value of an option, from `variable`; undefined where it is not set or wrong. */
  read(option, variable = option.variable) {
    if (variable === undefined) return undefined;
    switch (option.kind) {
      case 'count':
      case 'millis':
        return this.integer(variable, { from: option.variableFrom ?? option.from, to: option.to });
      case 'share':
        return this.share(variable);
      case 'ports':
        return this.ports(variable, option);
      case 'flag':
        return this.choice(variable, FLAGS);
      case 'tls':
        return this.choice(variable, TLS);
      case 'pem':
        return this.pem(variable);
      case 'url':
        return this.url(variable);
      case 'secretFile':
        return this.secretFile(variable);
      case 'choice':
      case 'switch': {
        const choices = Object.fromEntries(option.choices.map((name) => [name, name]));
        return this.choice(variable, { ...option.synonyms, ...choices });
      }
      default:
        return this.text(variable);
    }
  }

  text(name) {
    const value = name === undefined ? undefined : this.env[name];
    return value === undefined || value === '' ? undefined : value;
  }

  /** Notes what is wrong, once. */
  problem(text) {
    if (!this.problems.includes(text)) this.problems.push(text);
  }

  bad(name, wanted) {
    this.problem(`${name} must be ${wanted}, not ${JSON.stringify(this.env[name])}`);
  }

  integer(name, { from, to = MAX_MILLIS }) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = /^\s*\d+\s*$/.test(text) ? Number(text) : NaN;
    if (number >= from && number <= to) return number;
    this.bad(name, `a whole number from ${from} to ${to}`);
    return undefined;
  }

  share(name) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = Number(text);
    if (number > 0 && number <= 1) return number;
    this.bad(name, 'a number above 0 and at most 1');
    return undefined;
  }

  choice(name, choices) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = text.trim().toLowerCase();
    if (Object.hasOwn(choices, value)) return choices[value];
    this.bad(name, `one of ${Object.keys(choices).join(', ')}`);
    return undefined;
  }

  /** One port as a number, several as they were written. */
  ports(name, { from, to }) {
    const text = this.text(name);
    if (text === undefined || !text.includes(',')) return this.integer(name, { from, to });
    const isPort = (port) =>
      /^\s*\d*\s*$/.test(port) && Number(port || from) >= from && Number(port || from) <= to;
    if (text.split(',').every(isPort)) return text;
    this.bad(name, `whole numbers from ${from} to ${to}, separated by commas`);
    return undefined;
  }

  /** The parts of a connection string that say something. */
  url(name) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    try {
      const isGiven = ([, value]) => value !== undefined && value !== null && value !== '';
      return Object.fromEntries(Object.entries(parseConnectionString(text)).filter(isGiven));
    } catch (error) {
      // Not the text, nor a message that may quote it: there is a password in it.
      const reason = error.code ? ` (${error.code})` : '';
      this.problem(
        `${name} must be a connection string, postgres://user:password@host:port/database${reason}`,
      );
      return undefined;
    }
  }

  /** A function that gives what the file holds; the same one for the same variable. */
  secretFile(name) {
    const path = this.text(name);
    if (path === undefined || this.files.has(name)) return this.files.get(name);
    try {
      fs.accessSync(path, fs.constants.R_OK);
    } catch (error) {
      this.problem(`${name} must be the path of a readable file (${error.code})`);
      return undefined;
    }
    this.files.set(name, passwordIn(path));
    return this.files.get(name);
  }

  /** PEM text itself (with \n written out, as some platforms store it), or the path of a file with it. */
  pem(name) {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (text.includes('-----BEGIN')) return text.replace(/\\n/g, '\n');
    try {
      return fs.readFileSync(text, 'utf8');
    } catch (error) {
      // Not the value: a key that was pasted badly must not end in a log.
      this.problem(`${name} must be PEM text or the path of a readable file (${error.code})`);
      return undefined;
    }
  }
}

/** The password in a file, as a function that reads it at each login: secrets are rotated under a running process. */
function passwordIn(path) {
  return async () => (await fs.promises.readFile(path, 'utf8')).replace(/\r?\n$/, '');
}

module.exports = { Reader };
