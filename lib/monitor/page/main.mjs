// Follows the samples of the server: the history first, then one sample after the other.

import { byId } from './dom.mjs';
import { duration, number, time } from './format.mjs';
import { PoolView } from './pool-view.mjs';
import { state } from './state.mjs';
import { clearTables, showTables } from './tables.mjs';
import { showTroubles } from './trouble-view.mjs';

const views = new Map();

function showPools(pools) {
  for (const [id, view] of views) {
    if (pools.some((pool) => pool.id === id)) continue;
    view.element.remove();
    views.delete(id);
  }
  const firsts = [...views.values(), ...pools].map(({ points }) => points?.[0]?.[0] ?? state.now);
  state.shown = Math.min(state.span, Math.max(60000, state.now - Math.min(state.now, ...firsts)));
  pools.forEach(({ point, points, ...pool }, place) => {
    if (!views.has(pool.id)) views.set(pool.id, new PoolView(pool.id));
    const view = views.get(pool.id);
    if (points) view.points = points;
    if (point) view.points.push(point);
    const there = byId('pools').children[place];
    if (there !== view.element) byId('pools').insertBefore(view.element, there ?? null);
    view.show(pool);
  });
}

function showSummary(pools, troubles) {
  const down = troubles.filter(({ isWorking }) => !isWorking);
  const namesOf = (some) => some.map(({ names }) => names).join(', ');
  let text = pools.length === 0 ? 'no pool is open' : 'all well';
  if (troubles.length > 0) text = `${namesOf(troubles)} works again, an alert is not cleared yet`;
  if (down.length > 0) text = `trouble in ${namesOf(down)}`;
  document.title = down.length > 0 ? `✗ ${down[0].title}` : 'pgpool-rs';
  summarise(text, down.length > 0 ? 'bad' : troubles.length > 0 ? 'warn' : 'good');
}

function summarise(text, level) {
  const summary = byId('summary');
  // The same text again would be read aloud again.
  if (summary.textContent !== text) summary.textContent = text;
  summary.className = level;
}

function showProcess({ script, host, pid, node, version }, lag) {
  const parts = [script && `application ${script}`, `host ${host}`, `pid ${pid}`, `Node.js ${node}`];
  const late = lag === null ? [] : [`event loop ${number(lag, 'ms')} late at p99`];
  byId('process').textContent = [...parts, `pgpool-rs ${version}`, ...late].filter(Boolean).join(' · ');
}

function show(sample) {
  state.now = sample.at;
  showProcess(sample.process, sample.eventLoopLag);
  showPools(sample.pools);
  showSummary(sample.pools, showTroubles(sample.pools));
  showTables(sample);
  byId('live').textContent = `the last ${duration(state.shown)}, at ${time(state.now)}`;
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
