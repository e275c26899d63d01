'use strict';

// A registry of npm packages on this machine: it serves the archives that it is given, nothing else, and remembers
// which it was asked for. What the package managers install from it needs no network.

const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { once } = require('node:events');

class Registry {
  #directory;
  #packages = new Map();
  #server;
  /** Names whose archives were asked for. */
  fetched = new Set();

  /** @param {string} directory where the archives are; it goes when the registry is closed */
  constructor(directory) {
    this.#directory = directory;
  }

  /** @param {object} manifest what package.json says @param {string} archive the file that `npm pack` made of it */
  add(manifest, archive) {
    this.#packages.set(manifest.name, { manifest, archive });
  }

  async listen() {
    this.#server = http.createServer((request, response) => this.#answer(request, response));
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.url = `http://127.0.0.1:${this.#server.address().port}/`;
  }

  async close() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }

  #answer(request, response) {
    const [name, isArchive] = decodeURIComponent(new URL(request.url, this.url).pathname.slice(1)).split(
      '/-/',
    );
    const entry = this.#packages.get(name);
    if (entry === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}');
    } else if (isArchive) {
      this.fetched.add(name);
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      fs.createReadStream(entry.archive).pipe(response);
    } else {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(this.#document(entry)));
    }
  }

  #document({ manifest, archive }) {
    const { name, version } = manifest;
    const bytes = fs.readFileSync(archive);
    const hash = (algorithm, form) => crypto.createHash(algorithm).update(bytes).digest(form);
    const dist = {
      tarball: `${this.url}${name}/-/${path.basename(archive)}`,
      shasum: hash('sha1', 'hex'),
      integrity: `sha512-${hash('sha512', 'base64')}`,
    };
    const published = '2020-01-01T00:00:00.000Z';
    return {
      name,
      'dist-tags': { latest: version },
      time: { created: published, modified: published, [version]: published },
      versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist } },
    };
  }
}

module.exports = { Registry };
