'use strict';

// pg's path for the streams of a Connection. Node's only: the core does not run in Cloudflare Workers.

const net = require('node:net');
const tls = require('node:tls');

/** A socket that is not connected yet. */
function getStream() {
  return new net.Socket();
}

/** Encrypts `options.socket`. */
function getSecureStream(options) {
  return tls.connect(options);
}

module.exports = { getStream, getSecureStream };
