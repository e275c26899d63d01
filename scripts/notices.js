'use strict';

// The licences of the crates that are compiled into the native part, as one text: each crate with its version, its
// licence and the words of its licence files. A release puts it into every platform package.
//
// usage: node scripts/notices.js [file]      (default: standard output)

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { ROOT, main } = require('./step');

const LICENCE_FILE = /^(licen[cs]e|copying|notice|unlicense)/i;

/** The crates that the library links, without the package itself and without procedural macros: `{ name, version, license, directory }`. */
function linkedCrates() {
  const args = ['metadata', '--format-version', '1', '--locked', '--features', 'node'];
  const metadata = JSON.parse(
    execFileSync('cargo', args, {
      cwd: ROOT,
      maxBuffer: 256 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  );
  const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
  const packages = new Map(metadata.packages.map((entry) => [entry.id, entry]));
  const linked = new Set();
  const isMacro = (id) => packages.get(id).targets.some(({ kind }) => kind.includes('proc-macro'));
  const visit = (id) => {
    if (linked.has(id) || isMacro(id)) return;
    linked.add(id);
    for (const { pkg, dep_kinds } of nodes.get(id).deps) {
      if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg);
    }
  };
  visit(metadata.resolve.root);
  linked.delete(metadata.resolve.root);
  return [...linked]
    .map((id) => packages.get(id))
    .map(({ name, version, license, manifest_path }) => ({
      name,
      version,
      license,
      directory: path.dirname(manifest_path),
    }))
    .sort((one, other) => one.name.localeCompare(other.name) || one.version.localeCompare(other.version));
}

function licenceTexts(directory) {
  return fs
    .readdirSync(directory)
    .filter((file) => LICENCE_FILE.test(file) && fs.statSync(path.join(directory, file)).isFile())
    .sort()
    .map((file) => fs.readFileSync(path.join(directory, file), 'utf8').trim());
}

/** @throws Error when a crate names no licence */
function notices() {
  // Many crates carry the same words: each text stands once, with the crates that it belongs to.
  const texts = new Map();
  const list = linkedCrates().map(({ name, version, license, directory }) => {
    if (!license) throw new Error(`${name} ${version} names no licence`);
    for (const text of licenceTexts(directory))
      texts.set(text, [...(texts.get(text) ?? []), `${name} ${version}`]);
    return `${name} ${version}: ${license}`;
  });
  const parts = [...texts].map(([text, crates]) => `${'='.repeat(80)}\n${crates.join(', ')}\n\n${text}`);
  return `The native part of pgpool-rs contains these crates:\n\n${list.join('\n')}\n\n${parts.join('\n\n')}\n`;
}

if (require.main === module) {
  main(async () => {
    const [file] = process.argv.slice(2);
    if (file) fs.writeFileSync(file, notices());
    else process.stdout.write(notices());
  });
}

module.exports = { notices };
