// The command line of the bench: what each switch means, its default, and one
// error that lists every problem at once. Nothing is clamped silently.
'use strict';

const { parseArgs } = require('node:util');
const { GROUPS } = require('./scenarios');

const SWITCHES = {
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  warmup: { type: 'string' },
  seed: { type: 'string', default: '1' },
  only: { type: 'string' },
  case: { type: 'string' },
  quick: { type: 'boolean', default: false },
  contenders: { type: 'string' },
  json: { type: 'string' },
  markdown: { type: 'string' },
  rust: { type: 'boolean', default: false },
  'as-built': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

// What is taken where a switch does not say otherwise.
const USUAL = { rounds: '7', seconds: '1.5', warmup: '0.5' };
const QUICK = { rounds: '2', seconds: '0.3', warmup: '0.1', contenders: 'pg,pgpool-rs' };

const USAGE = `Usage: npm run bench -- [switches]

  --rounds N          rounds, each in a newly shuffled order (default 7)
  --seconds S         measured seconds per contender, scenario and round (default 1.5)
  --warmup S          unmeasured seconds before each measurement (default 0.5)
  --case a,b          only these scenarios or groups (${GROUPS.join(', ')}); --only is the same
  --quick             whether a change made something slower: pg and pgpool-rs, two short rounds, under two minutes
                      once it is built
  --contenders a,b    only these contenders; pg is always among them, as the reference
  --rust              build and run the contenders in bench/rust
  --as-built          take pgpool-rs as it was built last, instead of a release build
  --json FILE         write every single measurement
  --markdown FILE     write the tables; replaces the marked part of an existing file
  --seed N            order of the rounds and keys of the lookups (default 1)

The server is the one that DATABASE_URL names, else an embedded one is started.`;

function parseOptions(argv) {
  const { values, tokens } = parseArgs({
    args: argv,
    options: SWITCHES,
    allowPositionals: false,
    tokens: true,
  });
  for (const [name, value] of Object.entries(values.quick ? QUICK : USUAL)) values[name] ??= value;
  const problems = [];
  const number = (name, accepts, wanted) => {
    const value = Number(values[name]);
    if (values[name].trim() === '' || !accepts(value))
      problems.push(`--${name} must be ${wanted}, not "${values[name]}"`);
    return value;
  };
  const positiveInteger = (value) => Number.isInteger(value) && value > 0;
  const options = {
    rounds: number('rounds', positiveInteger, 'a whole number above zero'),
    seconds: number(
      'seconds',
      (value) => Number.isFinite(value) && value > 0,
      'a number of seconds above zero',
    ),
    warmup: number('warmup', (value) => Number.isFinite(value) && value >= 0, 'a number of seconds'),
    seed: number('seed', Number.isInteger, 'a whole number'),
    only: list(values.case ?? values.only),
    contenders: list(values.contenders),
    json: values.json,
    markdown: values.markdown,
    rust: values.rust,
    asBuilt: values['as-built'],
    help: values.help,
    command: commandOf(tokens),
  };
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return options;
}

// The command for the report. Where the output went does not belong to it.
function commandOf(tokens) {
  const words = tokens
    .filter(({ name }) => name !== 'json' && name !== 'markdown')
    .map(({ name, value }) => (value === undefined ? `--${name}` : `--${name} ${value}`));
  return words.length === 0 ? 'npm run bench' : `npm run bench -- ${words.join(' ')}`;
}

function list(text) {
  if (text === undefined) return undefined;
  return text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

module.exports = { parseOptions, USAGE };
