// The section of one pool: its load, its incident, its numbers and its plots.

import { CHARTS, Chart } from './chart.mjs';
import { byId, make } from './dom.mjs';
import { number } from './format.mjs';
import { incidentText, recoveryText } from './incident-text.mjs';
import { state } from './state.mjs';

export class PoolView {
  constructor(id) {
    this.points = [];
    this.title = make('h2');
    this.badge = make('span', { class: 'badge' });
    this.load = make('span');
    this.incident = make('div');
    this.facts = make('dl');
    this.charts = CHARTS.map((spec) => new Chart(spec));
    const plots = make('div', { class: 'charts' }, ...this.charts.map(({ element }) => element));
    const top = make('div', { class: 'top' }, this.title, this.badge, this.load);
    this.element = make('section', { 'data-pool': id }, top, this.incident, this.facts, plots);
    byId('pools').append(this.element);
  }

  show(pool) {
    this.title.textContent = pool.name;
    this.showBreaker(pool);
    const { idle, used, connecting, max, limit } = pool.connections;
    const most = limit < max ? `${limit} now, ${max} at most` : max;
    this.load.textContent = `${used} used, ${idle} idle, ${connecting} connecting of ${most}; ${pool.waiting} waiting`;
    this.incident.replaceChildren(...incidentOf(pool));
    const facts = Object.entries({ ...factsOf(pool), ...rareFactsOf(pool) });
    this.facts.replaceChildren(
      ...facts.map(([term, text]) => make('div', {}, make('dt', {}, term), make('dd', {}, text))),
    );
    while (this.points.length > 0 && this.points[0][0] < state.now - state.span) this.points.shift();
    for (const chart of this.charts) chart.draw(this.points, pool);
  }

  showBreaker({ breaker, breakerStops }) {
    const isClosed = breaker === 'closed';
    this.badge.textContent = `breaker ${breaker}${isClosed || breakerStops ? '' : ', only counts'}`;
    const color = breaker === 'open' && breakerStops ? 'bad' : 'warn';
    this.badge.className = `badge ${isClosed ? 'good' : color}`;
  }
}

function factsOf(pool) {
  const { acquire = {}, operation = {}, throughput, errors } = pool.minute || {};
  const classes = Object.entries(pool.errorsByClass).map(([name, count]) => `${name} ${count}`);
  return {
    'Acquire p50 / p95 / p99': percentilesOf(acquire || {}),
    'Query p50 / p95 / p99': percentilesOf(operation || {}),
    Operations: number(throughput, '/s'),
    'Errors, last minute': number(errors),
    'Errors since start': classes.join(', ') || 'none',
    'Oldest waiter': number(pool.oldestWait, 'ms'),
    'Connections made': number(pool.opened),
    'Connects failed': number(pool.connectFailures),
    'Waited too long': number(pool.timeouts),
    Retries: number(pool.retries),
    'Rejected by the breaker': number(pool.breakerRejected),
    'Event loop lag p99': number(state.eventLoopLag, 'ms'),
  };
}

// Facts that need a person, and are shown only where there are any.
function rareFactsOf(pool) {
  const counts = {
    'Clients not given back': pool.leaks.connections,
    'Transactions left open': pool.leaks.transactions,
    'Commits of unknown outcome': pool.commitsUnknown,
    'Changes of host': pool.failovers,
  };
  const facts = {};
  for (const [term, count] of Object.entries(counts)) if (count > 0) facts[term] = number(count);
  if (pool.adaptive !== null) {
    const { limit, slow, full } = pool.adaptive;
    facts['Adaptive limit'] =
      `${limit} (reduced ${number(slow)} for slow readers, ${number(full)} for a full server)`;
  }
  const open = pool.breakers.filter((breaker) => breaker.state !== 'closed');
  if (open.length > 0)
    facts['Hosts with an open breaker'] = open
      .map(({ host, reason }) => (reason === null ? host : `${host} (${reason})`))
      .join(', ');
  return facts;
}

function percentilesOf({ p50, p95, p99 }) {
  return `${[p50, p95, p99].map((value) => number(value)).join(' / ')} ms`;
}

function incidentOf(pool) {
  if (pool.incident) {
    const { title, reasons, actions, isWorking } = incidentText(pool, state.now);
    const sentence = `The pool: ${actions.join(', ') || 'goes on'}`;
    return [
      make(
        'div',
        { class: isWorking ? 'incident working' : 'incident' },
        make('b', {}, title),
        `\n${reasons.join('\n')}\n`,
        make('span', { class: 'actions' }, sentence),
      ),
    ];
  }
  if (!pool.recovered || state.now - pool.recovered.endedAt >= state.span) return [];
  return [make('div', { class: 'recovered' }, recoveryText(pool.recovered).join('\n'))];
}
