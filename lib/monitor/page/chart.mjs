// One plot of a pool: lines over the time that is drawn, with their axes, and shaded where the breaker was not closed.
// Pointer and arrow keys choose a point; its values stand below.

import { Axes, marksOf, topOf } from './axis.mjs';
import { make } from './dom.mjs';
import { number, time } from './format.mjs';
import { state, valueOf } from './state.mjs';

const WIDTH = 600;
const HEIGHT = 110;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 };

const percentiles = (name) => [
  { field: `${name}P50`, label: 'p50', color: 'a' },
  { field: `${name}P95`, label: 'p95', color: 'b' },
  { field: `${name}P99`, label: 'p99', color: 'c' },
];

export const CHARTS = [
  {
    title: 'Connections',
    isCount: true,
    lines: [
      { field: 'used', label: 'used', color: 'a' },
      { field: 'idle', label: 'idle', color: 'd' },
      { field: 'connecting', label: 'connecting', color: 'b' },
      { field: 'limit', label: 'limit', color: 'soft', isDashed: true },
    ],
  },
  {
    title: 'Waiting requests',
    isCount: true,
    lines: [{ field: 'waiting', label: 'waiting', color: 'b' }],
  },
  { title: 'Acquire time', unit: 'ms', lines: percentiles('acquire') },
  { title: 'Query time', unit: 'ms', lines: percentiles('query') },
  {
    title: 'Operations',
    unit: '/s',
    lines: [{ field: 'throughput', label: 'operations', color: 'a' }],
  },
  { title: 'Errors', unit: '/s', lines: [{ field: 'errors', label: 'errors', color: 'e' }] },
];

export class Chart {
  constructor(spec) {
    this.spec = spec;
    this.points = [];
    this.cursor = null;
    this.svg = make('svg', {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: 'none',
      role: 'img',
      tabindex: '0',
    });
    this.paths = spec.lines.map(({ color, isDashed }) =>
      make('path', { stroke: `var(--${color})`, class: isDashed ? 'dashed' : 'solid' }),
    );
    this.grid = make('path', { class: 'grid' });
    this.axes = new Axes();
    this.mark = make('line', { y1: 0, y2: HEIGHT, visibility: 'hidden' });
    this.band = make('path', { class: 'band' });
    this.svg.append(this.grid, this.band, ...this.paths, this.mark);
    this.caption = make('figcaption');
    const heading = spec.unit ? `${spec.title}, ${spec.unit}` : spec.title;
    const plot = make('div', { class: 'plot' }, this.axes.values, this.svg, this.axes.times);
    this.element = make('figure', {}, make('h3', {}, heading), plot, this.caption);
    this.listen();
  }

  listen() {
    this.svg.addEventListener('keydown', (event) => this.moveBy(event));
    this.svg.addEventListener('blur', () => this.choose(null));
    this.svg.addEventListener('pointerleave', () => this.choose(null));
    this.svg.addEventListener('pointermove', (event) => {
      const box = this.svg.getBoundingClientRect();
      this.choose(state.now - state.shown + ((event.clientX - box.left) / box.width) * state.shown);
    });
  }

  moveBy(event) {
    if (event.key === 'Escape') {
      this.choose(null);
      return;
    }
    const step = STEPS[event.key];
    if (step === undefined || this.points.length === 0) return;
    event.preventDefault();
    const last = this.points.length - 1;
    const index = this.cursor === null ? last : this.nearest(this.cursor) + step;
    this.choose(this.points[Math.max(0, Math.min(last, index))][0]);
  }

  nearest(at) {
    let best = 0;
    this.points.forEach((point, i) => {
      if (Math.abs(point[0] - at) < Math.abs(this.points[best][0] - at)) best = i;
    });
    return best;
  }

  /** Shows the values of this time; null: the latest. */
  choose(at) {
    this.cursor = at;
    this.describe();
  }

  draw(points) {
    this.points = points;
    const { isCount, lines } = this.spec;
    const top = topOf(Math.max(0, ...points.flatMap((point) => this.valuesOf(point))), isCount);
    const y = (value) => (HEIGHT - (value / top) * HEIGHT).toFixed(1);
    lines.forEach(({ field }, i) => this.paths[i].setAttribute('d', lineOf(points, field, y)));
    this.band.setAttribute('d', bandOf(points));
    const grid = marksOf(top, isCount).map((value) => `M0 ${y(value)}H${WIDTH}`);
    this.grid.setAttribute('d', grid.join(''));
    this.axes.show(top, isCount);
    this.describe();
  }

  valuesOf(point) {
    return this.spec.lines.map(({ field }) => valueOf(point, field) || 0);
  }

  describe() {
    if (this.points.length === 0) return;
    const index = this.cursor === null ? this.points.length - 1 : this.nearest(this.cursor);
    const point = this.points[index];
    const { unit = '', lines, title } = this.spec;
    const values = lines.map(({ field, label }) => `${label} ${number(valueOf(point, field), unit)}`);
    const when = this.cursor === null ? 'now' : time(point[0]);
    const keys = values.map((text, i) => make('span', { class: `key color-${lines[i].color}` }, text));
    this.caption.replaceChildren(...keys, make('span', {}, when));
    this.svg.setAttribute('aria-label', `${title}, ${when}: ${values.join(', ')}`);
    this.mark.setAttribute('visibility', this.cursor === null ? 'hidden' : 'visible');
    if (this.cursor !== null) for (const end of ['x1', 'x2']) this.mark.setAttribute(end, x(point[0]));
  }
}

function x(at) {
  return (((at - (state.now - state.shown)) / state.shown) * WIDTH).toFixed(1);
}

// A value that is not known interrupts the line; one that stands alone is a dot.
function lineOf(points, field, y) {
  let path = '';
  let pen = 'M';
  for (const point of points) {
    const value = valueOf(point, field);
    if (value !== null) path += `${pen}${x(point[0])} ${y(value)}${pen === 'M' ? 'h0' : ''}`;
    pen = value === null ? 'M' : 'L';
  }
  return path;
}

function bandOf(points) {
  let path = '';
  points.forEach((point, i) => {
    if (!(valueOf(point, 'breaker') > 0)) return;
    const to = points[i + 1] ? points[i + 1][0] : state.now;
    path += `M${x(point[0])} 0H${x(to)}V${HEIGHT}H${x(point[0])}Z`;
  });
  return path;
}
