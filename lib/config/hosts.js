'use strict';

// Several hosts, in libpq's spelling: `a,b` beside ports `5432,5433`, and connection strings with
// `a:5432,b:5433`. One host and one port go through untouched.

const { parse } = require('pg-connection-string');

// scheme and credentials, hosts with a comma in them, the rest
const SEVERAL_HOSTS = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(.*)$/is;
const HOST_AND_PORT = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/;

/**
 * pg-connection-string's `parse`, which knows one host, for several.
 * @throws Error for a malformed connection string, its text left out
 */
function parseConnectionString(text) {
  const match = SEVERAL_HOSTS.exec(text);
  if (match === null) return parse(text);
  const [, head, hosts, rest] = match;
  const config = parse(head + 'several' + rest);
  // `?host=` and `?port=` go before the authority, as with one host.
  if (config.host !== 'several') return config;
  const pairs = hosts.split(',').map((host) => {
    const parts = HOST_AND_PORT.exec(decodeURIComponent(host));
    if (parts === null) throw new Error('malformed list of hosts in the connection string');
    return { host: parts[1].replace(/^\[(.*)\]$/, '$1'), port: parts[2] || '' };
  });
  config.host = pairs.map(({ host }) => host).join(',');
  if (!config.port && pairs.some(({ port }) => port !== ''))
    config.port = pairs.map(({ port }) => port).join(',');
  return config;
}

/**
 * The hosts that `host` and `port` name.
 * @param {string} host one or several, separated by commas
 * @param {string|number} port one for all, or as many as hosts; an empty one is 5432
 * @throws Error when the numbers do not match, in libpq's words
 */
function hostList(host, port) {
  const names = String(host ?? '')
    .split(',')
    .map((name) => name.trim());
  const ports = String(port ?? '')
    .split(',')
    .map((number) => number.trim());
  if (ports.length > 1 && ports.length !== names.length) {
    throw new Error(`could not match ${ports.length} port numbers to ${names.length} hosts`);
  }
  return names.map((name, index) => {
    const text = ports.length > 1 ? ports[index] : ports[0];
    return { host: name === '' ? 'localhost' : name, port: text === '' ? 5432 : Number(text) };
  });
}

/** The hosts that a client's parameters lead to, in order. */
function hostsOf({ host, port, ports }) {
  if (!String(host).includes(',') && !String(ports).includes(',')) return [{ host, port }];
  return hostList(host, ports);
}

/** libpq's `load_balance_hosts`: `random` or `disable`. */
function isBalanced(setting) {
  if (setting === undefined || setting === false || setting === 'disable') return false;
  if (setting === true || setting === 'random') return true;
  throw new Error(`invalid load_balance_hosts value: "${setting}". Valid values are "disable" and "random".`);
}

module.exports = { parseConnectionString, hostList, hostsOf, isBalanced };
