// What all parts of the page share: the time of the latest sample, and which part of the history is drawn.

export const state = {
  /** Names of the values of a point, in their order. */
  fields: [],
  /** Milliseconds of history that are kept, and that are drawn: at least a minute, as far back as there are points. */
  span: 900000,
  shown: 60000,
  /** The time of the latest sample. */
  now: Date.now(),
};

/** A value of a point by its name. */
export function valueOf(point, field) {
  return point[state.fields.indexOf(field)];
}
