// What `import` of the package installed as pg gives, by static names.

import pg, {
  Client,
  Connection,
  DatabaseError,
  Pool,
  Query,
  Result,
  TypeOverrides,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  types,
} from 'pg';
import * as everything from 'pg';

const named = {
  Client,
  Connection,
  DatabaseError,
  Pool,
  Query,
  Result,
  TypeOverrides,
  defaults,
  escapeIdentifier,
  escapeLiteral,
  types,
};
const same = Object.entries(named).every(([name, value]) => value === pg[name] && value !== undefined);
console.log(
  JSON.stringify({
    same,
    names: Object.keys(everything)
      .filter((name) => name in named || name === 'default')
      .sort(),
  }),
);
