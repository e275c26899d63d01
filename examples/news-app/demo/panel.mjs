// The page of the panel: asks for the state each second, shows both applications, and causes the troubles.

const SECONDS = 60;
const SVG = ['svg', 'rect', 'title'];
const byId = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const element = SVG.includes(name)
    ? document.createElementNS('http://www.w3.org/2000/svg', name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const millis = (value) =>
  value === null || value === undefined ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const time = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

/** The requests of each second, from the totals after it. */
function perSecond(seconds) {
  return seconds.slice(1).map((second, i) => ({
    at: second.at,
    answered: second.readers.answered - seconds[i].readers.answered,
    failed: second.readers.failed - seconds[i].readers.failed,
  }));
}

function bars(name, rates, top) {
  const height = (value) => (value / top) * 100;
  const rects = rates.flatMap(({ answered, failed }, i) => {
    const x = (SECONDS - rates.length + i) * 10;
    return [
      make('rect', { class: 'answered', x, width: 9, y: 100 - height(answered), height: height(answered) }),
      make('rect', {
        class: 'failed',
        x,
        width: 9,
        y: 100 - height(answered + failed),
        height: height(failed),
      }),
    ];
  });
  const sum = rates.reduce((all, { failed }) => all + failed, 0);
  const label = `${name}: requests of each second, at most ${top}; ${sum} failed in the last minute`;
  return make(
    'svg',
    { viewBox: `0 0 ${SECONDS * 10} 100`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    ...rects,
  );
}

function fact(term, text) {
  return make('div', {}, make('dt', {}, term), make('dd', {}, text));
}

function sectionOf({ name, title, url, seconds }, rates, top) {
  const last = seconds.at(-1);
  const { readers, reports } = last;
  const rate = rates.at(-1)?.answered ?? 0;
  return make(
    'section',
    { 'data-application': name },
    make('h2', {}, make('a', { href: url }, `on ${name}`)),
    make('p', { class: 'soft' }, title),
    make('div', { class: `failed ${readers.failed > 0 ? 'bad' : 'good'}` }, String(readers.failed)),
    make('div', {}, 'requests of readers failed'),
    make(
      'dl',
      {},
      fact('Answered', String(readers.answered)),
      fact('Now', `${rate} /s`),
      fact('p50 / p95', `${millis(readers.p50)} / ${millis(readers.p95)}`),
      fact('Reports', `${reports.answered} done, ${reports.failed} failed`),
    ),
    make('div', { class: 'soft' }, `Requests of each second, 0 to ${top}`),
    bars(name, rates, top),
    make('div', { class: 'soft axis' }, make('span', {}, `${SECONDS} s ago`), make('span', {}, 'now')),
  );
}

function showApplications(applications) {
  const ready = applications.filter(({ seconds }) => seconds.length > 0);
  const all = ready.map(({ seconds }) => perSecond(seconds.slice(-SECONDS - 1)));
  const most = Math.max(10, ...all.flat().map(({ answered, failed }) => answered + failed));
  const top = Math.ceil(most / 50) * 50;
  byId('applications').replaceChildren(...ready.map((application, i) => sectionOf(application, all[i], top)));
  const live = applications.find((application) => application.live);
  if (live) byId('live').href = live.live;
}

let shown = '';
function showTroubles(troubles, running) {
  const text = JSON.stringify([troubles, running]);
  // A button that stays the same keeps the focus.
  if (text === shown) return;
  const focused = document.activeElement?.dataset?.trouble;
  const buttons = troubles.map(({ name, title, text: explained, reason }) => {
    const button = make(
      'button',
      { type: 'button', 'data-trouble': name },
      make('b', {}, title),
      make('span', {}, reason ?? explained),
    );
    button.disabled = running !== null || reason !== null;
    button.addEventListener('click', () => cause(name));
    return button;
  });
  shown = text;
  byId('troubles').replaceChildren(...buttons);
  if (focused) buttons.find(({ dataset }) => dataset.trouble === focused)?.focus();
}

function whenOf({ at, endedAt, isCounted, error }) {
  if (error) return `${time(at)}: ${error}`;
  if (endedAt === null) return `${time(at)}, goes on`;
  return isCounted
    ? `${time(at)} to ${time(endedAt)}`
    : `${time(at)} to ${time(endedAt)}, late failures are counted`;
}

function showLog(log) {
  byId('log-section').hidden = log.length === 0;
  const cell = (label, counts, text) =>
    make('td', { 'data-label': label }, ...Object.entries(counts).map(([name, count]) => text(name, count)));
  byId('log').replaceChildren(
    ...log.map((entry) =>
      make(
        'tr',
        {},
        make(
          'td',
          {},
          make('p', {}, make('b', {}, entry.title)),
          make('p', { class: 'soft' }, whenOf(entry)),
        ),
        cell('Failed', entry.counts, (name, { failed, answered }) =>
          make('p', { class: failed > 0 ? 'bad' : 'good' }, `${name}: ${failed} of ${answered + failed}`),
        ),
        cell('Slowest second', entry.counts, (name, { slowest }) =>
          make('p', {}, `${name}: ${millis(slowest)}`),
        ),
      ),
    ),
  );
}

async function refresh() {
  try {
    const state = await (await fetch('/state')).json();
    showTroubles(state.troubles, state.running);
    showApplications(state.applications);
    showLog(state.log);
    byId('running').textContent = state.running === null ? '' : `Under way: ${state.running}`;
  } catch {
    byId('running').textContent = 'The demonstration does not answer.';
  }
}

async function cause(name) {
  await fetch(`/troubles/${name}`, { method: 'POST' }).catch(() => {});
  await refresh();
}

async function follow() {
  await refresh();
  setTimeout(follow, 1000);
}

follow();
