'use strict';

// State of a client's session: where its connection stands, and what is known of its end. All moves are made here,
// together with the six fields in which pg keeps its own state and in which libraries read it.
//
// pg's `_ending` is no state beside the others but a wish that stays: `end()` may be called before `connect`, after the
// loss, and again. So each state names the moves that lead on and those that come too late to matter; any other move
// is a bug, and throws.

const { withReason } = require('../errors');
const { REASONS } = require('../native/layout');

const STATES = {
  new: { enters: ['connecting', 'connected', 'failed'], ignores: ['ending', 'severed'] },
  // `connect` is under way.
  connecting: { enters: ['connected', 'ending', 'severed', 'lost', 'failed'], ignores: [] },
  // The caller of `connect` is being told; statements wait until it has been.
  connected: { enters: ['ready', 'fatal', 'ending', 'severed', 'lost', 'ended'], ignores: [] },
  ready: { enters: ['fatal', 'ending', 'severed', 'lost', 'ended'], ignores: [] },
  // A statement has failed with the server's last words, whose `code` is kept: nobody is told of them twice.
  fatal: { enters: ['ending', 'severed', 'lost', 'ended'], ignores: ['ready', 'fatal'] },
  // `end()` was called, or the pool closes the connection.
  ending: {
    enters: ['severed', 'lost', 'ended'],
    ignores: ['connected', 'ready', 'fatal', 'failed', 'ending'],
  },
  // This side has cut the connection without a farewell.
  severed: {
    enters: ['lost', 'failed', 'ended'],
    ignores: ['connected', 'ready', 'fatal', 'ending', 'severed'],
  },
  // The client tells of its loss; `error` is one that somebody emitted on the connection.
  lost: {
    enters: ['failed', 'ended'],
    ignores: ['connected', 'ready', 'fatal', 'ending', 'severed', 'lost'],
  },
  // `connect` has failed, and its caller is being told.
  failed: { enters: ['ended'], ignores: ['ending', 'severed', 'lost', 'failed'] },
  ended: { enters: [], ignores: ['ending', 'severed', 'lost', 'ended'] },
};

// States from which nothing that is sent now is answered.
const DOOMED = new Set(['fatal', 'severed', 'lost', 'failed', 'ended']);

/** @typedef {{ name: string, code?: string, error?: Error }} SessionState */

/** @type {SessionState} */
const NEW = { name: 'new', code: undefined, error: undefined };

/**
 * Moves `client` to the state `name`, unless it is too late for that.
 * @param detail `code` of the server's last words, or `error` of the loss; kept by the states that follow
 * @throws Error for a move that is in no table
 */
function moveTo(client, name, detail) {
  const state = client._sessionState;
  const { enters, ignores } = STATES[state.name];
  if (name === 'ending') client._ending = true;
  if (ignores.includes(name)) return;
  if (!enters.includes(name)) throw new Error(`a client does not go from ${state.name} to ${name}`);
  client._sessionState = { ...state, ...detail, name };
  switch (name) {
    case 'connecting':
      client._connecting = true;
      break;
    case 'connected':
      client._connecting = false;
      client._connected = true;
      break;
    case 'lost':
      client._queryable = false;
      break;
    case 'failed':
      client._connectionError = true;
      break;
    case 'ended':
      client._ended = true;
      break;
    default:
  }
}

/** Why a statement is refused; undefined: it is not. */
function refusalOf(client) {
  const { name } = client._sessionState;
  if (client._ending && client._queryable) {
    return withReason(new Error('Client was closed and is not queryable'), REASONS.ENDED);
  }
  // pg leaves a statement on a client whose connect has failed waiting for ever.
  if (client._queryable && name !== 'failed' && name !== 'ended') return undefined;
  const error = new Error('Client has encountered a connection error and is not queryable');
  return withReason(error, REASONS.LOST);
}

/** Whether another statement may succeed on `client`, as far as is known here. */
function isUsable(client) {
  return client._queryable && !client._ending && !DOOMED.has(client._sessionState.name);
}

module.exports = { NEW, STATES, isUsable, moveTo, refusalOf };
