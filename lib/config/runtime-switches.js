'use strict';

// What can be turned off and on while the application runs: switches by name, and changes to several at once.

/** @typedef {{ check: (value: any) => void, apply: (value: any) => void }} Switch `check` throws for a value that makes
 *   no sense, before anything is applied */

/** A check of a switch with a few positions. */
function choiceOf(name, ...choices) {
  return (value) => {
    if (!choices.includes(value))
      throw new TypeError(`${name} must be one of ${choices.join(', ')}, not ${JSON.stringify(value)}`);
  };
}

/**
 * All or nothing.
 * @param {Record<string, Switch>} switches
 * @param changes the new positions by name; what is undefined stays
 * @throws TypeError naming every switch that is unknown or has no such position
 */
function applyChanges(switches, changes) {
  if (changes === null || typeof changes !== 'object')
    throw new TypeError('configure takes an object of switches');
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  const problems = [];
  for (const [name, value] of given) {
    try {
      if (!Object.hasOwn(switches, name)) throw new TypeError(`${name} is no switch`);
      switches[name].check(value);
    } catch (error) {
      problems.push(error.message);
    }
  }
  if (problems.length > 0) throw new TypeError(`invalid configuration: ${problems.join('; ')}`);
  for (const [name, value] of given) switches[name].apply(value);
}

module.exports = { applyChanges, choiceOf };
