'use strict';

// The child process of one contender: opens it, warms it, and loads it as its parent says. It ends when the
// parent does, whatever hangs inside.

const { CONTENDERS } = require('./contenders');
const { Load } = require('./load');
const { now, sleep } = require('./clock');
const { nameOf } = require('./told');
const { Writers } = require('./writers');

let load;
let patience;
let requests;

/** Keeps a client for that long, and asks something with it at the end. */
async function hold(contender, millis, text) {
  const client = await contender.connect();
  client.on('error', () => {});
  try {
    await sleep(millis);
    await client.query(text, ['lent']);
    client.release();
  } catch (error) {
    client.release(error);
    throw error;
  }
}

const COMMANDS = {
  async open(job) {
    patience = job.patience;
    const contender = CONTENDERS[job.contender](job.place);
    requests = {
      read: (key) => contender.read(job.texts.read, [key]),
      insert: (key) => contender.insert(job.texts.insert, [key]),
      transaction: (key) => contender.transaction(job.texts.insert, [`${key}+`, `${key}-`]),
      lent: (_, millis) => hold(contender, millis, job.texts.read),
    };
    const idle = Array.from({ length: job.warm }, () => contender.read(job.texts.warm, ['warm']));
    await Promise.race([Promise.allSettled(idle), sleep(job.patience)]);
    load = job.writers === undefined ? new Load(requests, job) : new Writers(requests, job);
  },
  start: () => load.start(),
  pause: () => load.pause(),
  burst: (count) => load.burst(count),
  lend: ({ count, millis }) => load.lend(count, millis),
  /** One request beside the load: how long it took, and the name of its error. */
  async ask(kind) {
    const begun = now();
    const late = sleep(patience).then(() => 'no answer');
    const answer = requests[kind]('one').then(() => null, nameOf);
    return { error: await Promise.race([answer, late]), took: now() - begun };
  },
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
