// Puts the generated tables into a document without touching the prose around
// them: they live between two marks, and a file that has none is written anew.
'use strict';

const fs = require('node:fs');
const path = require('node:path');

/** `name`: of the part, where a document has several. */
function writeMarkdown(file, tables, name = 'bench') {
  const program = ['soak', 'hostile'].includes(name) ? 'soak' : 'bench';
  const marks = [`<!-- ${name}: begin, written by npm run ${program} -->`, `<!-- ${name}: end -->`];
  fs.mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  fs.writeFileSync(file, withPart(fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '', tables, marks));
}

function withPart(existing, tables, [beginMark, endMark]) {
  const part = `${beginMark}\n\n${tables}\n${endMark}`;
  const begin = existing.indexOf(beginMark);
  const end = existing.indexOf(endMark);
  if (begin === -1 || end < begin)
    return existing === '' ? `# Performance\n\n${part}\n` : `${existing.trimEnd()}\n\n${part}\n`;
  return existing.slice(0, begin) + part + existing.slice(end + endMark.length);
}

module.exports = { writeMarkdown };
