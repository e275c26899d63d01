'use strict';

// Row description: the columns of a statement's results, which the core sends once (record SHAPE), and the plans that
// build rows from them.
//
// Parsers are looked up for every result, since setting one takes effect on the next result. Mostly they are those of
// the result before; then its plan is used again.

const { registry } = require('./column-readers');
const Plan = require('./plan');

const KEPT_PLANS = 4;

// A column as node-postgres describes it in `result.fields`.
class Field {
  constructor(column) {
    this.name = column.name;
    this.tableID = column.tableID;
    this.columnID = column.columnID;
    this.dataTypeID = column.dataTypeID;
    this.dataTypeSize = column.dataTypeSize;
    this.dataTypeModifier = column.dataTypeModifier;
    this.format = column.format;
  }
}

class RowDescription {
  constructor(id, columns) {
    this.id = id;
    this.fields = columns.map((column) => new Field(column));
    this.slots = columns.map((column) => column.slot);
    this.empty = emptyRow(this.fields);
    this.plans = [];
  }

  // The plan for rows as arrays or as objects, with the parsers that `types`, or else the shared registry, has now.
  plan(asArray, types) {
    const known = this.plans;
    const first = known.length > 0 ? known[0] : null;
    const fields = this.fields;
    const source = types || registry;
    let parsers = null;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i];
      const parser = source.getTypeParser(field.dataTypeID, field.format);
      if (parsers !== null) parsers.push(parser);
      else if (first === null || first.parsers[i] !== parser) {
        parsers = first === null ? [] : first.parsers.slice(0, i);
        parsers.push(parser);
      }
    }
    if (parsers === null && first !== null && first.asArray === asArray) return first;
    return this.other(asArray, parsers || (first === null ? [] : first.parsers));
  }

  // Another plan than that of the last result. The plan used last stands first.
  other(asArray, parsers) {
    const known = this.plans;
    const same = (plan) =>
      plan.asArray === asArray && plan.parsers.every((parser, i) => parser === parsers[i]);
    const found = known.findIndex(same);
    const plan = found < 0 ? new Plan(this, asArray, parsers) : known.splice(found, 1)[0];
    known.unshift(plan);
    if (known.length > KEPT_PLANS) known.pop();
    return plan;
  }
}

// A row of nulls in which every key is an own property, `__proto__` too.
function emptyRow(fields) {
  const row = Object.create(null);
  for (const field of fields) row[field.name] = null;
  return { ...row };
}

module.exports = RowDescription;
