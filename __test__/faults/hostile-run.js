'use strict';

// One attack in a process of its own, which has to live through it. Writes a report as JSON; what nobody caught is in it.
//
// usage: node hostile-run.js <server | values> <seed> <seconds>

const { told } = require('./trial');

const ATTACKS = {
  server: () => require('./hostile-clients').underAttack,
  values: () => require('./hostile-values').hostileValues,
};

async function main([side, seed, seconds]) {
  const uncaught = [];
  for (const event of ['uncaughtException', 'unhandledRejection'])
    process.on(event, (error) => uncaught.push({ ...told(error), stack: error?.stack }));
  // What pg's own classes say of how they are used.
  process.on('warning', () => {});
  const report = await ATTACKS[side]()(Number(seed), Number(seconds));
  process.stdout.write(`${JSON.stringify({ ...report, uncaught: uncaught.slice(0, 20) })}\n`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
