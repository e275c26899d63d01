// Numbers, times and amounts as the page writes them.

/** Three digits at most, with its unit; a dash for what is not known. */
export function number(value, unit = '') {
  if (value === null || value === undefined) return '–';
  const fine = value >= 100 ? 1 : value >= 10 ? 10 : 100;
  const text = String(Math.round(value * fine) / fine);
  return unit ? `${text} ${unit}` : text;
}

/** A number with its noun. */
export function counted(count, noun, nouns = `${noun}s`) {
  return `${number(count)} ${count === 1 ? noun : nouns}`;
}

/** A value of an alert; a ratio in percent. */
export function amount(value, unit) {
  return unit === 'ratio' ? `${number(value * 100)} %` : `${number(value)} ${unit}`;
}

/** Milliseconds, or seconds where there are many. */
export function millis(value) {
  return value >= 10000 ? number(value / 1000, 's') : number(value, 'ms');
}

/** The time of day. */
export function time(at) {
  return new Date(at).toLocaleTimeString([], { hour12: false });
}

/** A length of time. */
export function duration(length) {
  const seconds = Math.max(0, Math.round(length / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
