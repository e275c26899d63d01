// The axes of a plot: round numbers from zero to the top, and times of day from left to right.

import { make } from './dom.mjs';
import { number, time } from './format.mjs';
import { state } from './state.mjs';

const ROUND = [1, 2, 4, 5, 10];

/** The least round number that is not below `most`; of what is counted at least 2. */
export function topOf(most, isCount) {
  if (!(most > 0)) return isCount ? 2 : 1;
  const power = 10 ** Math.floor(Math.log10(most));
  const top = ROUND.map((factor) => factor * power).find((candidate) => candidate >= most * 0.9999);
  return isCount ? Math.max(2, top) : top;
}

/** The values that are marked: zero, the top, and the middle where it is round. */
export function marksOf(top, isCount) {
  return isCount && top % 2 !== 0 ? [0, top] : [0, top / 2, top];
}

export class Axes {
  constructor() {
    this.values = make('div', { class: 'values', 'aria-hidden': 'true' });
    this.times = make('div', { class: 'times', 'aria-hidden': 'true' });
  }

  show(top, isCount) {
    const marks = marksOf(top, isCount).reverse();
    this.values.replaceChildren(...marks.map((value) => make('span', {}, number(value))));
    const moments = [state.now - state.shown, state.now - state.shown / 2, state.now];
    this.times.replaceChildren(...moments.map((at) => make('span', {}, time(at))));
  }
}
