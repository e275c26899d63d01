'use strict';

// The Markdown of the repository, as far as tests look at it: the samples that say they can be run,
// the links, and the headings that links lead to.
//
// A sample is a fence that begins with ```js run; NAME=value behind it sets its environment. A fence
// ```text output right after it is what the sample prints.

const fs = require('node:fs');
const path = require('node:path');

const ROOT = path.resolve(__dirname, '..', '..');
const PLACES = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'docs',
  'bench/README.md',
  'examples',
];

/** Paths of all documents, relative to the repository. */
function documents() {
  return PLACES.flatMap((place) => {
    const file = path.join(ROOT, place);
    if (!fs.statSync(file).isDirectory()) return [place];
    const inside = fs.readdirSync(file, { recursive: true }).filter((name) => name.endsWith('.md'));
    return inside.filter((name) => !name.includes('node_modules')).map((name) => path.join(place, name));
  })
    .map((name) => name.split(path.sep).join('/'))
    .sort();
}

function read(document) {
  return fs.readFileSync(path.join(ROOT, document), 'utf8');
}

/** The fenced blocks: `{ line, info, code }`, the line being the first one of the code. */
function fences(text) {
  const blocks = [];
  let open = null;
  for (const [index, line] of text.split('\n').entries()) {
    if (open === null) {
      const begin = /^```(.*)$/.exec(line);
      if (begin) open = { line: index + 2, info: begin[1].trim(), code: [] };
    } else if (line === '```') {
      blocks.push({ ...open, code: open.code.join('\n') });
      open = null;
    } else {
      open.code.push(line);
    }
  }
  if (open !== null) throw new Error(`a fence of line ${open.line} is not closed`);
  return blocks;
}

/** What can be run: `{ line, code, env, output }`; `output` undefined: whatever it prints is right. */
function samples(text) {
  const blocks = fences(text);
  return blocks.flatMap(({ line, info, code }, index) => {
    const [language, mark, ...settings] = info.split(/\s+/);
    if (language !== 'js' || mark !== 'run') return [];
    const env = Object.fromEntries(settings.map((setting) => setting.split('=', 2)));
    const next = blocks[index + 1];
    const output = next !== undefined && next.info === 'text output' ? next.code : undefined;
    return [{ line, code, env, output }];
  });
}

function withoutFences(text) {
  return text.replace(/^```[^]*?^```$/gm, '');
}

/** Targets of links that stay inside the repository. */
function links(text) {
  const found = [...withoutFences(text).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]);
  return found.filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors that GitHub gives to the headings. */
function anchors(text) {
  const headings = [...withoutFences(text).matchAll(/^#+ (.+)$/gm)].map((match) => match[1]);
  return headings.map((heading) =>
    heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
}

module.exports = { ROOT, documents, read, samples, links, anchors };
