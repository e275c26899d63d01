'use strict';

// The live page as one document without external resources: markup, style and script are joined here. The scripts
// are modules; joined, in the order of their imports, they are one module.

const fs = require('node:fs');
const path = require('node:path');

const ENTRY = 'main.mjs';
const IMPORT = /^import [^;]*? from '\.\/([\w-]+\.mjs)';\n/gm;
const EXPORT = /^export (?=(?:async )?(?:function|class|const) )/gm;

const read = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8');

/** The script of a module and of all that it imports, each once and before whoever imports it. */
function joined(name, done = new Set()) {
  if (done.has(name)) return '';
  done.add(name);
  const source = read(name);
  const before = [...source.matchAll(IMPORT)].map(([, other]) => joined(other, done));
  return [...before, source.replace(IMPORT, '').replace(EXPORT, '')].join('');
}

/** The whole page. */
function livePage() {
  return read('page.html')
    .replace('/* page.css */', () => `\n${read('page.css')}`)
    .replace('/* main.mjs and what it imports */', () => `\n${joined(ENTRY)}`);
}

module.exports = { livePage };
