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

/**
 * @param client whose password is wanted
 * @param answer `(password or null, kept error or null)`
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

module.exports = { answerPassword };
