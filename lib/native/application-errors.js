'use strict';

// Errors of application code on their way through the core, which knows them by their text only: the
// request that such an error fails gets the error itself back.

const MOST_KEPT = 100;

class ApplicationErrors {
  constructor() {
    this.kept = [];
  }

  /** `text` is what the core will say; as a rule it has it from here. */
  keep(error, text = textOf(error)) {
    this.kept.push({ text, error });
    // Not every kept error is asked for: an attempt that nobody waited for fails unheard.
    if (this.kept.length > MOST_KEPT) this.kept.shift();
    return text;
  }

  /** The error itself, when `failure` is one that was kept. */
  take(failure) {
    const index = this.kept.findIndex(({ text }) => text === failure.message);
    return index === -1 ? undefined : this.kept.splice(index, 1)[0].error;
  }
}

/** What is thrown may be anything; well-formed, as it comes back from the core. */
function textOf(error) {
  try {
    return String((error && error.message) || error).toWellFormed();
  } catch {
    return 'what was thrown has no text';
  }
}

module.exports = { ApplicationErrors };
