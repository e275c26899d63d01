'use strict';

// The child process of one contender: opens it, warms it, and loads it as its parent says. It ends when the
// parent does, whatever hangs inside.

const { CONTENDERS } = require('./contenders');
const { Load } = require('./load');
const { sleep } = require('./clock');

let load;
let patience;

const COMMANDS = {
  async open(job) {
    patience = job.patience;
    const contender = CONTENDERS[job.contender](job.place);
    const ask = {
      read: (key) => contender.read(job.texts.read, [key]),
      insert: (key) => contender.insert(job.texts.insert, [key]),
    };
    const idle = Array.from({ length: job.warm }, () => contender.read(job.texts.read, ['warm']));
    await Promise.race([Promise.allSettled(idle), sleep(job.patience)]);
    load = new Load(ask, job);
  },
  start: () => load.start(),
  pause: () => load.pause(),
  burst: (count) => load.burst(count),
  finish: () => load.settle(patience),
};

process.on('message', async ({ id, command, argument }) => {
  try {
    process.send({ id, value: await COMMANDS[command](argument) });
  } catch (error) {
    process.send({ id, error: error.stack });
  }
});
process.on('disconnect', () => process.exit());
