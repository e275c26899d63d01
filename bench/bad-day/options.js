'use strict';

// The command line of the bad-day bench. One error lists every problem at once; nothing is clamped.

const { parseArgs } = require('node:util');
const { NAMES } = require('./contenders');
const { chooseRows } = require('./rows');

const SWITCHES = {
  'bad-day': { type: 'boolean' },
  rows: { type: 'string' },
  contenders: { type: 'string' },
  'round-trips': { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  lanes: { type: 'string' },
  down: { type: 'string' },
  after: { type: 'string' },
  rate: { type: 'string' },
  set: { type: 'string' },
  json: { type: 'string' },
  markdown: { type: 'string' },
  'as-built': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

const USAGE = `Usage: npm run bench -- --bad-day [switches]

  --rows a,b          only these rows
  --round-trips       only the small measurements: round trips per operation, and waits of a lone query
  --contenders a,b    only these of: ${NAMES.join(', ')}
  --quick             shorter faults and less load
  --lanes N           rows that run at a time (default 2, with --quick 5)
  --down S, --after S, --rate N
                      other seconds of the fault, seconds after it, requests a second
  --set A=x,B=y       variables of the tiers, for instance DB_BREAKER=metrics
  --json FILE         write every figure
  --markdown FILE     write the tables; replaces the marked part of an existing file
  --as-built          take pgpool-rs as it was built last, instead of a release build`;

function list(text) {
  return text?.split(',').map((word) => word.trim());
}

function parseOptions(argv) {
  const { values } = parseArgs({ args: argv, options: SWITCHES, allowPositionals: false });
  const problems = [];
  const number = (name, isRight, wanted) => {
    if (values[name] === undefined) return undefined;
    const value = Number(values[name]);
    if (values[name].trim() === '' || !isRight(value))
      problems.push(`--${name} must be ${wanted}, not "${values[name]}"`);
    return value;
  };
  const isSeconds = (value) => Number.isFinite(value) && value >= 0;
  const contenders = list(values.contenders);
  for (const name of contenders ?? [])
    if (!NAMES.includes(name)) problems.push(`--contenders knows ${NAMES.join(', ')}; not ${name}`);
  let rows = [];
  try {
    rows = chooseRows(list(values.rows));
  } catch (error) {
    problems.push(error.message);
  }
  const options = {
    rows: values['round-trips'] ? [] : rows,
    // With rows of one's own choice they are left out.
    measures: values.rows === undefined,
    contenders,
    quick: values.quick,
    lanes:
      number('lanes', (value) => Number.isInteger(value) && value > 0, 'a whole number above zero') ??
      (values.quick ? 5 : 2),
    terms: {
      down: number('down', isSeconds, 'a number of seconds'),
      after: number('after', isSeconds, 'a number of seconds'),
      rate: number('rate', (value) => value > 0, 'a number above zero'),
    },
    env: Object.fromEntries((list(values.set) ?? []).map((setting) => setting.split('=', 2))),
    json: values.json,
    markdown: values.markdown,
    asBuilt: values['as-built'],
    help: values.help,
    command: ['npm run bench --', ...argv.filter((word) => word !== '--as-built')].join(' '),
  };
  // Titles tell the rows as they are without switches.
  options.isOther = options.quick || Object.values(options.terms).some((value) => value !== undefined);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return options;
}

module.exports = { parseOptions, USAGE };
