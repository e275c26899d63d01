'use strict';

// The live page as one document without external resources: markup, style and script are joined here. The scripts
// are modules; joined, in the order of their imports, they are one module. The policy lets the browser take this style
// and this script, by their hashes, and no other.

const { createHash } = require('node:crypto');
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

const source = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The whole page, and the Content-Security-Policy it is to be served with. */
function livePage() {
  const style = `\n${read('page.css')}`;
  const script = `\n${joined(ENTRY)}`;
  const html = read('page.html')
    .replace('/* page.css */', () => style)
    .replace('/* main.mjs and what it imports */', () => script);
  const policy = [
    "default-src 'none'",
    `style-src ${source(style)}`,
    `script-src ${source(script)}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return { html, policy: policy.join('; ') };
}

module.exports = { livePage };
