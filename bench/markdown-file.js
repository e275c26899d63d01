// Puts the generated tables into a document without touching the prose around
// them: they live between two marks, and a file that has none is written anew.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

const BEGIN = '<!-- bench: begin, written by npm run bench -->';
const END = '<!-- bench: end -->';

function writeMarkdown(file, tables) {
  const part = `${BEGIN}\n\n${tables}\n${END}`;
  fs.mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  fs.writeFileSync(file, withPart(fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '', part));
}

function withPart(existing, part) {
  const begin = existing.indexOf(BEGIN);
  const end = existing.indexOf(END);
  if (begin === -1 || end < begin)
    return existing === '' ? `# Performance\n\n${part}\n` : `${existing.trimEnd()}\n\n${part}\n`;
  return existing.slice(0, begin) + part + existing.slice(end + END.length);
}

module.exports = { writeMarkdown };
