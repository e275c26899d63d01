// The cards of troubles and of what was recovered lately, above all pools.

import { byId, make } from './dom.mjs';
import { recoveriesOf, troublesOf } from './troubles.mjs';
import { state } from './state.mjs';

let shown = '';

/** Shows the troubles of these pools, and gives them. */
export function showTroubles(pools) {
  const troubles = troublesOf(pools, state.now);
  const recoveries = recoveriesOf(pools, state.now, state.span);
  // A card that stays the same keeps the reader's selection.
  const text = JSON.stringify([troubles, recoveries]);
  if (text !== shown)
    byId('troubles').replaceChildren(...troubles.map(cardOf), ...recoveries.map(recoveredOf));
  shown = text;
  return troubles;
}

function cardOf({ title, names, when, actions, lines, isWorking }) {
  return make(
    'section',
    { class: isWorking ? 'incident working' : 'incident' },
    make('h2', {}, title),
    make('p', {}, make('b', {}, names), ` · ${when}`),
    make('p', { class: 'actions' }, actions.join(', ') || 'the pools go on'),
    ...(lines.length > 0 ? [make('p', { class: 'lines' }, lines.join('\n'))] : []),
  );
}

function recoveredOf({ title, cause, names, actions }) {
  return make(
    'section',
    { class: 'recovered' },
    make('h2', {}, title),
    make('p', {}, make('b', {}, names), ` · ${cause}`),
    make('p', { class: 'actions' }, actions.join(', ')),
  );
}
