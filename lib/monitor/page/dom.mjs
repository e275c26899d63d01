// Elements of the page.

const SVG = ['svg', 'path', 'line'];

/** The element of this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element, of HTML or of SVG. */
export function make(name, attributes = {}, ...children) {
  const element = SVG.includes(name)
    ? document.createElementNS('http://www.w3.org/2000/svg', name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
