'use strict';

// Errors of application code, kept while the core knows them by number: the request that such an error fails gets the
// error itself. The core gets their texts for its logs, and decides nothing by them.

const MOST_KEPT = 100;

class ApplicationErrors {
  constructor() {
    this.kept = new Map();
    this.lastNumber = 0;
  }

  /** Keeps an error; returns what the core gets in its place. */
  keep(error) {
    const number = ++this.lastNumber;
    this.kept.set(number, error);
    // Not every kept error is asked for: an attempt that nobody waited for fails unheard.
    if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
    return { number, message: textOf(error) };
  }

  /** The kept error that `failure` stands for; undefined: none. */
  take({ application }) {
    const error = this.kept.get(application);
    this.kept.delete(application);
    return error;
  }
}

/** The text of what was thrown, which may be anything. */
function textOf(error) {
  try {
    return String((error && error.message) || error).toWellFormed();
  } catch {
    return 'what was thrown has no text';
  }
}

module.exports = { ApplicationErrors };
