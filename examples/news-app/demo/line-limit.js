// Lines of an application for the console: one in five seconds, and how many were left out. The rest is on the pages.

'use strict';

const APART_MILLIS = 5000;

class LineLimit {
  #write;
  #silentUntil = 0;
  #leftOut = 0;

  constructor(write) {
    this.#write = write;
  }

  take(text, now = Date.now()) {
    for (const line of text.split('\n').filter((candidate) => candidate.trim() !== '')) {
      if (now < this.#silentUntil) {
        this.#leftOut += 1;
        continue;
      }
      this.#write(this.#leftOut > 0 ? `${line} (and ${this.#leftOut} lines before)` : line);
      this.#silentUntil = now + APART_MILLIS;
      this.#leftOut = 0;
    }
  }
}

module.exports = { LineLimit };
