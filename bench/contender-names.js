// Who can take part, and how each is brought up: modules in a child process,
// programs by their own class.
'use strict';

const { Contender } = require('./contender');
const { Pgbench } = require('./pgbench');
const { REFERENCE } = require('./results');
const { RUST, RustContender } = require('./rust-contender');

const JAVASCRIPT = ['pg', 'pg-control', 'pg-named', 'postgres', 'pg-native', 'pgpool-rs'];
const LIMITS = ['pgbench-simple', 'pgbench-prepared'];

function create(name) {
  if (JAVASCRIPT.includes(name)) return new Contender(name);
  return name in RUST ? new RustContender(name) : new Pgbench(name.slice('pgbench-'.length));
}

function chooseContenders({ contenders, rust }) {
  const known = [...JAVASCRIPT, ...LIMITS, ...Object.keys(RUST)];
  const wanted = contenders ?? [...JAVASCRIPT, ...LIMITS];
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`--contenders knows ${known.join(', ')}; not ${unknown.join(', ')}`);
  return known.filter((name) => name === REFERENCE || wanted.includes(name) || (name in RUST && rust));
}

module.exports = { chooseContenders, create };
