// Follows the samples of the server: the history first, then one sample after the other.

import { byId } from './dom.mjs';
import { time } from './format.mjs';
import { PoolView } from './pool-view.mjs';
import { state } from './state.mjs';
import { clearTables, showAlerts, showEvents } from './tables.mjs';

const views = new Map();

function showPools(pools) {
  for (const [id, view] of views) {
    if (pools.some((pool) => pool.id === id)) continue;
    view.element.remove();
    views.delete(id);
  }
  const firsts = [...views.values(), ...pools].map(({ points }) => points?.[0]?.[0] ?? state.now);
  state.shown = Math.min(state.span, Math.max(60000, state.now - Math.min(state.now, ...firsts)));
  for (const { point, points, ...pool } of pools) {
    if (!views.has(pool.id)) views.set(pool.id, new PoolView(pool.id));
    const view = views.get(pool.id);
    if (points) view.points = points;
    if (point) view.points.push(point);
    view.show(pool);
  }
  showSummary(pools);
}

function showSummary(pools) {
  const inIncident = pools.filter((pool) => pool.incident);
  const working = inIncident.filter(({ incident }) => incident.workingSince !== null);
  const down = inIncident.filter(({ incident }) => incident.workingSince === null);
  const names = (some) => some.map((pool) => pool.name).join(', ');
  let text = pools.length === 0 ? 'no pool is open' : 'all well';
  if (working.length > 0) text = `${names(working)} works again, an alert is not cleared yet`;
  if (down.length > 0) {
    const since = Math.min(...down.map(({ incident }) => incident.since));
    text = `trouble in ${names(down)} since ${time(since)}`;
  }
  document.title = down.length > 0 ? `✗ ${down.length} in trouble` : 'pgpool-rs';
  summarise(text, down.length > 0 ? 'bad' : working.length > 0 ? 'warn' : 'good');
}

function summarise(text, level) {
  const summary = byId('summary');
  // The same text again would be read aloud again.
  if (summary.textContent !== text) summary.textContent = text;
  summary.className = level;
}

function show(sample) {
  state.now = sample.at;
  state.eventLoopLag = sample.eventLoopLag;
  showPools(sample.pools);
  showAlerts(sample.alerts);
  showEvents(sample.events);
  byId('live').textContent = `the last ${Math.round(state.shown / 60000)} min, at ${time(state.now)}`;
}

function connect() {
  const source = new EventSource('events');
  source.addEventListener('history', ({ data }) => {
    const history = JSON.parse(data);
    state.fields = history.fields;
    state.span = history.span;
    clearTables();
    show(history);
  });
  source.addEventListener('sample', ({ data }) => show(JSON.parse(data)));
  source.onerror = () => summarise('the application does not answer', 'bad');
  return source;
}

let source = connect();
let isPaused = false;
byId('pause').addEventListener('click', ({ target }) => {
  isPaused = !isPaused;
  target.setAttribute('aria-pressed', String(isPaused));
  target.textContent = isPaused ? 'Continue' : 'Pause';
  // A new connection begins with the history, so nothing is missing afterwards.
  if (isPaused) source.close();
  else source = connect();
});
