'use strict';

// The documents keep what they promise: samples run, links lead somewhere, each dependency has its
// reason, and the configuration guide knows every variable and every option.

const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { Client } = require('pg');
const { ROOT, documents, read, samples, links, anchors } = require('./support/documents');
const { PATIENCE } = require('./support/patience');
const { environment, freshDatabase } = require('./support/server');
const { TABLES: OPTION_TABLES, defaultText, withTables } = require('../scripts/option-tables');
const { readEnvironment } = require('../lib/config/environment');
const { KINDS, OPTIONS, optionsOf } = require('../lib/config/options');
const { readThresholds } = require('../lib/config/alert-thresholds');

const GUIDE = 'docs/guide/configuration.md';

// What samples find in their database.
const TABLES = `
  CREATE TABLE articles (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, section text NOT NULL, title text NOT NULL,
                         views int NOT NULL DEFAULT 0, published timestamptz NOT NULL DEFAULT now());
  INSERT INTO articles (section, title) SELECT 'science', 'Article ' || n FROM generate_series(1, 20) n;
  CREATE SEQUENCE calls;
  CREATE FUNCTION refresh_trends() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      IF nextval('calls') = 1 THEN RAISE 'could not serialize access' USING ERRCODE = '40001'; END IF;
    END $$;
  CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0));
  INSERT INTO accounts VALUES (1, 100), (2, 100);
`;

/** Runs a sample in a process of its own, which has to end by itself. */
function execute(code, env) {
  const isModule = /^import /m.test(code);
  const source = isModule ? code : `(async () => {\n${code}\n})();`;
  const args = [`--input-type=${isModule ? 'module' : 'commonjs'}`, '-e', source];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 2 * PATIENCE,
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stdout: stdout.trim(), stderr }));
  });
}

describe('samples', () => {
  let database;

  beforeAll(async () => {
    database = await freshDatabase();
    const client = new Client(database.config());
    await client.connect();
    await client.query(TABLES);
    await client.end();
  });

  afterAll(() => database && database.drop());

  const all = documents().flatMap((document) =>
    samples(read(document)).map((sample) => ({ ...sample, name: `${document}:${sample.line}` })),
  );

  test('there are some', () => {
    expect(all.length).toBeGreaterThan(0);
  });

  test.each(all)('$name runs', async ({ code, env, output }) => {
    const result = await execute(
      code,
      environment(database.config(), { NODE_ENV: 'test', DB_CONNECTION_TIMEOUT: '60000', ...env }),
    );
    expect(result).toMatchObject({ status: 0, signal: null });
    if (output !== undefined) expect(result.stdout).toBe(output);
  });

  test('one that throws would be noticed', async () => {
    const result = await execute(
      "await Promise.reject(new Error('no such thing'));",
      environment(database.config(), { NODE_ENV: 'test' }),
    );
    expect(result.status).not.toBe(0);
    expect(result.stderr).toContain('no such thing');
  });
});

describe('links', () => {
  const all = documents().flatMap((document) =>
    links(read(document)).map((target) => ({ document, target })),
  );

  test.each(all)('$document leads to $target', ({ document, target }) => {
    const [file, anchor] = target.split('#');
    const place = file === '' ? document : path.posix.join(path.posix.dirname(document), file);
    expect({ place, exists: fs.existsSync(path.join(ROOT, place)) }).toEqual({ place, exists: true });
    if (anchor !== undefined) expect(anchors(read(place))).toContain(anchor);
  });
});

describe('the page of dependencies', () => {
  const page = read('docs/design/dependencies.md');
  const crates = /^\[dependencies\]\n([^]*?)\n\[/m.exec(read('Cargo.toml'))[1].match(/^[\w-]+(?= *=)/gm);
  const packages = Object.keys(require('../package.json').dependencies);

  test.each([...crates, ...packages].sort())('tells why %s is there', (name) => {
    expect(page).toMatch(new RegExp(`\\*\\*[^*]*\\b${name}\\b[^*]*\\*\\*`));
  });
});

const unique = (names) => [...new Set(names)].sort();

/** The members of an interface in index.d.ts. */
function declared(name) {
  const body = new RegExp(`export interface ${name}\\b[^{]*\\{\\n([^]*?)\\n\\}`).exec(read('index.d.ts'))[1];
  return [...body.matchAll(/^ {2}(\w+)\??[:(]/gm)].map((match) => match[1]);
}

/** The docstring of each member of an interface, on one line. */
function docstrings(name) {
  const body = new RegExp(`export interface ${name}\\b[^{]*\\{\\n([^]*?)\\n\\}`).exec(read('index.d.ts'))[1];
  const members = [...body.matchAll(/ {2}\/\*\*((?:(?!\*\/)[^])*)\*\/\n {2}(\w+)\??[:(]/g)];
  return Object.fromEntries(
    members.map(([, text, member]) => [member, text.replace(/\s*\n\s*\*\s*/g, ' ').trim()]),
  );
}

const plain = (text) => text.replaceAll('`', '');

describe('the configuration guide', () => {
  const guide = read(GUIDE);
  const variables = (text) => unique(text.match(/\b(?:DB_[A-Z]+(?:_[A-Z]+)*|DATABASE_URL)\b/g) ?? []);

  test('tells every DB_* variable that the package reads, and no other', () => {
    const asked = [];
    const listening = new Proxy({}, { get: (_, name) => void asked.push(String(name)) });
    readEnvironment(listening);
    readThresholds(listening);
    expect(asked.length).toBeGreaterThan(20);
    // What is written out in the code and is not the beginning of a name.
    const sources = fs
      .readdirSync(path.join(ROOT, 'lib'), { recursive: true })
      .filter((name) => name.endsWith('.js'));
    const written = variables(sources.map((name) => read(`lib/${name}`)).join('\n'));
    const others = written.filter((name) => !asked.some((other) => other.startsWith(name)));
    expect(variables(guide)).toEqual(unique([...asked, ...others]));
  });

  test('has the tables that the table of options renders', () => {
    expect(guide).toBe(withTables(guide));
    const shown = [...guide.matchAll(/^<!-- table: (.+) -->$/gm)].map(([, name]) => name);
    expect(shown).toEqual(Object.keys(OPTION_TABLES));
  });
});

describe('the types and the table of options', () => {
  const INTERFACES = [
    ['ClientConfig', ['client'], ['ClientConfig']],
    ['PoolConfig', ['pool'], ['PoolConfig']],
    ['BreakerConfig', ['breaker'], ['BreakerConfig']],
    ['QueryConfig', ['query', 'pool.query'], ['QueryConfig', 'QueryArrayConfig']],
  ];
  const ownedBy = (owners) => owners.flatMap((owner) => optionsOf(owner));

  test.each(INTERFACES)('%s has the same members', (_, owners, interfaces) => {
    const named = ownedBy(owners).flatMap(({ name, aliases = [] }) => [name, ...aliases]);
    expect(unique(interfaces.flatMap(declared))).toEqual(unique(named));
  });

  test.each(INTERFACES)('the members of %s tell default and unit', (_, owners, interfaces) => {
    const texts = Object.assign({}, ...interfaces.map(docstrings));
    const wrong = ownedBy(owners).filter((option) => {
      const { name, kind, aliases = [] } = option;
      const isTold =
        defaultText(option) === '' || texts[name].includes(`Default: ${plain(defaultText(option))}.`);
      const unit = KINDS[kind] ?? '';
      const isAlias = aliases.every((alias) => texts[alias] === `The same as \`${name}\`.`);
      return !(isTold && isAlias && texts[name].toLowerCase().includes(unit));
    });
    expect(wrong.map(({ name }) => name)).toEqual([]);
  });

  test('no two options of an owner have one name, and every kind is known', () => {
    for (const owner of unique(OPTIONS.map((option) => option.owner))) {
      const names = optionsOf(owner).flatMap(({ name, aliases = [], variable }) => [
        name ?? variable,
        ...aliases,
      ]);
      expect(unique(names)).toHaveLength(names.length);
    }
    expect(OPTIONS.filter(({ kind }) => !Object.hasOwn(KINDS, kind))).toEqual([]);
  });
});

test.each(['TransactionOptions', 'BreakerConfig', 'RetryEvent', 'BreakerEvent'])(
  'the guide to retry tells all of %s',
  (name) => {
    expect(declared(name).filter((each) => !read('docs/guide/retry.md').includes(`\`${each}\``))).toEqual([]);
  },
);

test('troubleshooting tells every code of an error that is not the server’s', () => {
  const inside = (directory, ending) =>
    fs
      .readdirSync(path.join(ROOT, directory), { recursive: true })
      .filter((name) => name.endsWith(ending))
      .map((name) => read(`${directory}/${name}`));
  const scripts = inside('lib', '.js').flatMap((text) => [
    ...text.matchAll(/(?:code = |code: |, )'([A-Z]+(?:_[A-Z]+)+)'/g),
  ]);
  const core = inside('src/binding', '.rs').flatMap((text) => [...text.matchAll(/"code": "([A-Z_]+)"/g)]);
  const codes = [...scripts, ...core].map((match) => match[1]).filter((name) => !name.startsWith('DB_'));
  expect(codes).toEqual(expect.arrayContaining(['ACQUIRE_TIMEOUT', 'TRANSACTION_ENDED', 'RESULT_TOO_LARGE']));
  expect(
    unique(codes).filter((code) => !read('docs/guide/troubleshooting.md').includes(`\`${code}\``)),
  ).toEqual([]);
});
