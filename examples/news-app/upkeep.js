// The admin job, every now and then, while a demonstration runs (NEWS_UPKEEP=on). One that fails is left to the next.

'use strict';

const { admin } = require('./db-utils');

const EVERY = 20000;

// Returns a function that stops it and resolves once the job under way has ended.
function startUpkeep(every = EVERY) {
  let running = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(() => admin.maintain()).catch(() => undefined);
  }, every);
  return () => {
    clearInterval(timer);
    return running;
  };
}

module.exports = { startUpkeep };
