'use strict';

// The processes of a server on a stage: all of them stand still, until the stage comes down.

const { signalAll } = require('../../__test__/support/server-processes');

/** Stops all of them; they go on at the latest when the stage comes down, for else they could not be ended. */
function standStill(stage, server) {
  stage.later(() => signalAll(server, 'SIGCONT'));
  signalAll(server, 'SIGSTOP');
}

module.exports = { signalAll, standStill };
