'use strict';

// How long tests wait for what has to come. Nothing is measured by it: it ends what hangs, and a machine ten times
// slower than usual stays far below. A wait that fails says what it waited for, so a test lasts longer than one.

/** In milliseconds. */
const PATIENCE = 60_000;

if (typeof jest !== 'undefined') jest.setTimeout(3 * PATIENCE);

module.exports = { PATIENCE };
