'use strict';

// The rows of the scoreboard, in the order of the page. A row has
//
//   name, title, story   what it is called, and what happens, for an operator
//   open(stage)          sets up what the fault acts on
//   strike, heal         (stage, run, terms): begins the fault; ends it, and resolves when the server serves again
//   terms, quick         seconds `before`, `down` and `after`, `rate` of requests, share of `writes`,
//                        `warm` requests before; other ones with --quick
//
// and where it needs to: `prepare` (before each contender), `afterwards` (before the table is read), `contenders` (only
// these), `options` of pools, `queryOptions`, `env`, `texts`, `wrap` (a command around the contender's process), `isFinal`
// (each contender gets a server of its own), `needsIsolation` (see isolation.js), `skip` (why it cannot be run here).

const { HOSTS } = require('./faults/hosts');
const { NETWORK } = require('./faults/network');
const { POOLER } = require('./faults/pooler');
const { REFUSED } = require('./faults/refused');
const { SERVER } = require('./faults/server');
const { SHORTAGE } = require('./faults/shortage');

const ROWS = [...REFUSED, ...SERVER, ...NETWORK, ...SHORTAGE, ...HOSTS, ...POOLER];

/** Those of these names, or all. */
function chooseRows(names) {
  if (names === undefined) return ROWS;
  const unknown = names.filter((name) => !ROWS.some((row) => row.name === name));
  if (unknown.length > 0)
    throw new Error(`--rows knows ${ROWS.map(({ name }) => name).join(', ')}; not ${unknown.join(', ')}`);
  return ROWS.filter(({ name }) => names.includes(name));
}

/** Why a row cannot be run here; nothing: it can. */
function reasonToSkip(row, isIsolated) {
  if (row.needsIsolation && !isIsolated) return 'it needs a network of its own: Linux, and to be root';
  return row.skip?.() || undefined;
}

module.exports = { ROWS, chooseRows, reasonToSkip };
