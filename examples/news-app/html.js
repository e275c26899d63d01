// html`...` escapes every value it is given, except what is html already.
// Nothing else in this application turns text into markup.

'use strict';

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

class Markup {
  constructor(text) {
    this.text = text;
  }

  toString() {
    return this.text;
  }
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => ESCAPES[character]);
}

function render(value) {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(render).join('');
  if (value === null || value === undefined || value === false) return '';
  return escape(value);
}

function html(strings, ...values) {
  return new Markup(strings.reduce((text, string, i) => text + render(values[i - 1]) + string));
}

// Text in which `start` and `stop` enclose what a search has found.
function highlighted(text, { start, stop }) {
  const marked = escape(text).replaceAll(start, '<mark>').replaceAll(stop, '</mark>');
  return new Markup(marked);
}

module.exports = { html, highlighted };
