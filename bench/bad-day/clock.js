'use strict';

// Time in milliseconds on the machine's monotonic clock. It is the same in all processes, so the moment of a
// fault, noted by one, can be compared with the moment of an answer, noted by another.

const { setTimeout: sleep } = require('node:timers/promises');

const now = () => Number(process.hrtime.bigint()) / 1e6;

module.exports = { now, sleep };
