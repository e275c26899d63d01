'use strict';

// The application's own `dns.lookup`: one that stands in the place of Node's resolves hosts, as it does under pg. Else the
// core asks the system's resolver itself.

const dns = require('node:dns');

// Node's own. One that was replaced before this package was loaded is known by its source.
const plain = isNodes(dns.lookup) ? dns.lookup : undefined;

function isNodes(lookup) {
  const { bun, deno } = process.versions;
  return Boolean(bun || deno) || Function.prototype.toString.call(lookup).includes('GetAddrInfoReqWrap');
}

/** The function in the place of Node's; undefined: there is none. */
function replacedLookup() {
  return dns.lookup === plain ? undefined : dns.lookup;
}

module.exports = { replacedLookup };
