'use strict';

// Quoting of identifiers and literals for SQL text, as libpq does it.

function escapeIdentifier(text) {
  return '"' + text.replace(/"/g, '""') + '"';
}

// A backslash is only safe in an E'' literal, whatever standard_conforming_strings says; the
// space before it keeps the E apart from a word it is appended to.
function escapeLiteral(text) {
  if (typeof text !== 'string') return "''";
  const quoted = "'" + text.replace(/['\\]/g, '$&$&') + "'";
  return text.includes('\\') ? ' E' + quoted : quoted;
}

module.exports = { escapeIdentifier, escapeLiteral };
