// Errors on the console: one line a second says enough; how many were left out stands in the next line.

'use strict';

const APART_MILLIS = 1000;

let silentUntil = 0;
let leftOut = 0;

function errorLine(text, now = Date.now()) {
  if (now < silentUntil) {
    leftOut += 1;
    return;
  }
  console.error(leftOut > 0 ? `${text} (and ${leftOut} more errors)` : text);
  silentUntil = now + APART_MILLIS;
  leftOut = 0;
}

module.exports = { errorLine };
