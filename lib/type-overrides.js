'use strict';

// Type parsers of one client: its own come first, the shared registry (or the registry the
// user gave as `types`) answers for everything else.

const registry = require('pg-types');

function TypeOverrides(userTypes) {
  this._types = userTypes || registry;
  this.text = {};
  this.binary = {};
}

TypeOverrides.prototype.getOverrides = function (format) {
  if (format === 'text') return this.text;
  if (format === 'binary') return this.binary;
  return {};
};

TypeOverrides.prototype.setTypeParser = function (oid, format, parse) {
  if (typeof format === 'function') {
    parse = format;
    format = 'text';
  }
  this.getOverrides(format)[oid] = parse;
};

TypeOverrides.prototype.getTypeParser = function (oid, format) {
  format = format || 'text';
  return this.getOverrides(format)[oid] || this._types.getTypeParser(oid, format);
};

module.exports = TypeOverrides;
