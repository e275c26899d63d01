'use strict';

// Answers the core when it asks for a password: from the function given as `password`, else from the
// password file (pgpass). The error of such a function is kept, so that the connect that it fails
// rejects with that very error.

const { deprecate } = require('node:util');

const warnOfPasswordFile = deprecate(
  () => {},
  'pgpass support is deprecated and will be removed in pg@9.0. ' +
    'You can provide an async function as the password property to the Client/Pool constructor that returns a password instead. Within this function you can call the pgpass module in your own code.',
);

const MOST_KEPT = 100;

/** Errors of user code that the core knows by their text only. */
class OwnErrors {
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

/**
 * @param client whose password is wanted
 * @param answer `(password or null, failure text or null)`
 * @param errors where an error is kept
 */
function answerPassword(client, answer, errors) {
  try {
    const { password, connectionParameters } = client;
    if (typeof password === 'function') {
      Promise.resolve()
        .then(() => password(connectionParameters))
        .then((given) => {
          if (given !== undefined && typeof given !== 'string')
            throw new TypeError('Password must be a string');
          answer(given === undefined ? null : given, null);
        })
        .catch((error) => answer(null, errors.keep(error)));
      return;
    }
    require('pgpass')(connectionParameters, (found) => {
      if (found !== undefined) warnOfPasswordFile();
      answer(found === undefined ? null : found, null);
    });
  } catch (error) {
    answer(null, errors.keep(error));
  }
}

module.exports = { OwnErrors, answerPassword };
