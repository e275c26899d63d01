'use strict';

// Ends the server that global-setup.js started; a given one is left alone.

module.exports = async function globalTeardown() {
  await globalThis.pgpoolTestServer?.stop();
};
