'use strict';

// The off switches at run time: each piece of the package brings its own, `configure` turns them.

const known = new Map();

/**
 * @param {string} name as `configure` is told it
 * @param {{ check: (value: unknown) => void, apply: (value: unknown) => void }} piece `check` throws for
 *   a value that makes no sense, before anything is applied
 */
function addSwitch(name, piece) {
  known.set(name, piece);
}

/** A switch with a few positions. */
function choiceOf(name, ...choices) {
  return (value) => {
    if (!choices.includes(value))
      throw new TypeError(`${name} must be one of ${choices.join(', ')}, not ${JSON.stringify(value)}`);
  };
}

/**
 * Turns pieces off and on at run time, as the DB_* variables do at start: `configure({ tiers: 'off' })`.
 * All or nothing.
 * @throws TypeError naming every switch that is unknown or has no such position
 */
function configure(settings) {
  if (settings === null || typeof settings !== 'object')
    throw new TypeError('configure takes an object of switches');
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  const problems = [];
  for (const [name, value] of given) {
    try {
      if (!known.has(name)) throw new TypeError(`${name} is no switch`);
      known.get(name).check(value);
    } catch (error) {
      problems.push(error.message);
    }
  }
  if (problems.length > 0) throw new TypeError(`invalid configuration: ${problems.join('; ')}`);
  for (const [name, value] of given) known.get(name).apply(value);
}

module.exports = { addSwitch, choiceOf, configure };
