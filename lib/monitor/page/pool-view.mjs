// The section of one pool: where it leads, its load, its plots and its numbers.

import { CHARTS, Chart } from './chart.mjs';
import { make } from './dom.mjs';
import { number } from './format.mjs';
import { state } from './state.mjs';

export class PoolView {
  constructor(id) {
    this.points = [];
    this.title = make('h2');
    this.badge = make('span', { class: 'badge' });
    this.load = make('span');
    this.place = make('p', { class: 'place' });
    this.facts = make('dl');
    this.charts = CHARTS.map((spec) => new Chart(spec));
    const plots = make('div', { class: 'charts' }, ...this.charts.map(({ element }) => element));
    const top = make('div', { class: 'top' }, this.title, this.badge, this.load);
    this.element = make('section', { 'data-pool': id }, top, this.place, plots, this.facts);
  }

  show(pool) {
    this.title.textContent = pool.name;
    this.showBadge(pool);
    this.load.textContent = loadOf(pool);
    this.place.textContent = placeOf(pool);
    const facts = Object.entries({ ...factsOf(pool), ...rareFactsOf(pool) });
    this.facts.replaceChildren(
      ...facts.map(([term, text]) => make('div', {}, make('dt', {}, term), make('dd', {}, text))),
    );
    while (this.points.length > 0 && this.points[0][0] < state.now - state.span) this.points.shift();
    for (const chart of this.charts) chart.draw(this.points);
  }

  showBadge({ breaker, breakerStops, incident }) {
    const isOpen = breaker !== 'closed';
    const isBarred = isOpen && breakerStops;
    const breakerText = isOpen ? `breaker open${breakerStops ? '' : ', only counts'}` : 'breaker closed';
    this.badge.textContent = incident && !isBarred ? `in trouble, ${breakerText}` : breakerText;
    this.badge.className = `badge ${isBarred || incident ? 'bad' : isOpen ? 'warn' : 'good'}`;
  }
}

function loadOf({ connections, waiting, adaptive }) {
  const { idle, used, connecting, max, limit } = connections;
  const reason = adaptive !== null && adaptive.limit === limit ? 'adaptive limit' : 'limit';
  const most = limit < max ? `${limit} (${reason} now, ${max} at most)` : max;
  return `${used} used, ${idle} idle, ${connecting} connecting of ${most}; ${waiting} waiting`;
}

/** The server that answered last, before that the hosts of the settings. */
function placeOf({ server, breakers, database, application }) {
  const version = server?.version ? ` (PostgreSQL ${server.version})` : '';
  const host = server ? `${server.host}${version}` : breakers.map((breaker) => breaker.host).join(', ');
  const parts = [`server ${host}`, database && `database ${database}`];
  return [...parts, application && `application ${application}`].filter(Boolean).join(' · ');
}

function factsOf(pool) {
  const { acquire, operation, throughput, errors } = pool.minute || {};
  const classes = Object.entries(pool.errorsByClass).map(([name, count]) => `${name} ${count}`);
  return {
    'Acquire p50 / p95 / p99': percentilesOf(acquire),
    'Query p50 / p95 / p99': percentilesOf(operation),
    Operations: number(throughput, '/s'),
    'Errors, last minute': number(errors),
    'Errors since start': classes.join(', ') || 'none',
    'Oldest waiter': number(pool.oldestWait, 'ms'),
    'Connections made': number(pool.opened),
    'Connects failed': number(pool.connectFailures),
    'Waited too long': number(pool.timeouts),
    Retries: number(pool.retries),
    'Rejected by the breaker': number(pool.breakerRejected),
  };
}

// Facts that need a person, and are shown only where there are any.
function rareFactsOf(pool) {
  const counts = {
    'Retries refused by the budget': pool.retriesDenied,
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

function percentilesOf(times) {
  const { p50, p95, p99 } = times ?? {};
  if (p50 === null || p50 === undefined) return '–';
  return `${[p50, p95, p99].map((value) => number(value)).join(' / ')} ms`;
}
