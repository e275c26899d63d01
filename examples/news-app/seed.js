// Fills an empty newspaper: articles, comments and a month of page views, the
// same on every run. Rows travel as arrays, a few thousand to a statement, in
// one transaction, so a newspaper is either seeded or empty.
// Run by itself it migrates and seeds the database named by the environment.

'use strict';

const {
  pools,
  articles: { SECTIONS },
  admin,
} = require('./db-utils');
const { borrow } = require('./db-utils/borrow');
const prose = require('./prose');

const SIZES = { articles: 12000, comments: 40000, views: 80000 };
const LOCK = 7421854;
const SEED = 20240229;
const DAY = 86400000;
const AUTHORS = 160;
const ARCHIVE_DAYS = 720;
const VIEW_DAYS = 30;
const REFERRERS = [null, null, 'search', 'newsletter', 'social', 'partner'];

// Views per hour of the day, as a newspaper has them: breakfast, lunch, evening.
const HOURS = [1, 1, 1, 1, 2, 4, 9, 14, 12, 9, 8, 9, 13, 11, 8, 7, 8, 10, 12, 14, 13, 9, 5, 2];
const CLOCK = HOURS.flatMap((weight, hour) => Array(weight).fill(hour));

async function insertInBatches(client, text, rows, batch) {
  for (let from = 0; from < rows.length; from += batch) {
    const part = rows.slice(from, from + batch);
    const columns = part[0].map((_, column) => part.map((row) => row[column]));
    await client.query(text, columns);
  }
}

function authorNames() {
  const names = [];
  for (let i = 0; i < AUTHORS; i++)
    names.push(`${prose.FIRST[i % 20]} ${prose.LAST[(i * 7 + Math.floor(i / 20)) % 20]}`);
  return names;
}

// When article `id` appeared: evenly over the archive, the newest last.
function publishedAt(random, id, count, until) {
  return until - Math.floor(((count - id + random()) / count) * ARCHIVE_DAYS * DAY);
}

// How many articles back from the newest a reader reaches: mostly a few.
const reach = (random, typical) => Math.floor(-Math.log(1 - random()) * typical);

function writeComments(random, count, published, until) {
  const newest = published.length - 1;
  const rows = [];
  for (let i = 0; i < count; i++) {
    const article = newest - (reach(random, newest / 3) % newest);
    const at =
      published[article] + Math.floor(random() ** 3 * Math.min(20 * DAY, until - published[article]));
    rows.push([article, prose.name(random), prose.pick(random, prose.REMARKS), new Date(at)]);
  }
  return rows;
}

function writeArticles(random, published, comments) {
  const counts = new Array(published.length).fill(0);
  for (const [article] of comments) counts[article] += 1;
  const rows = [];
  for (let id = 1; id < published.length; id++) {
    const section = prose.pick(random, SECTIONS);
    const written = prose.article(random, section);
    rows.push([
      id,
      section,
      written.title,
      written.summary,
      written.body,
      written.tags.join(','),
      written.meta,
      1 + Math.floor(random() * random() * AUTHORS),
      new Date(published[id]),
      counts[id],
    ]);
  }
  return rows;
}

function viewsOfDay(random, start, average) {
  const weekend = new Date(start).getUTCDay() % 6 === 0;
  return Math.round(average * (weekend ? 0.75 : 1.05) * (0.9 + random() * 0.2));
}

function readArticles(random, count, published, until) {
  const newest = published.length - 1;
  const rows = [];
  for (let day = VIEW_DAYS; day > 0; day--) {
    const start = until - day * DAY;
    for (let left = viewsOfDay(random, start, count / VIEW_DAYS); left > 0; left--) {
      const at = start + (prose.pick(random, CLOCK) * 60 + Math.floor(random() * 60)) * 60000;
      const front = newest - Math.floor(((until - at) / DAY / ARCHIVE_DAYS) * newest);
      const article = Math.max(1, front - (reach(random, newest / 200) % newest));
      rows.push([article, new Date(at), 5 + Math.floor(random() ** 2 * 400), prose.pick(random, REFERRERS)]);
    }
  }
  return rows;
}

async function insertAll(client, size, until) {
  const random = prose.randomFrom(SEED);
  const published = [];
  for (let id = 1; id <= size.articles; id++) published[id] = publishedAt(random, id, size.articles, until);
  const comments = writeComments(random, size.comments, published, until);

  await client.query(
    'INSERT INTO news.authors (id, name) SELECT place, name FROM unnest($1::text[]) WITH ORDINALITY AS w(name, place)',
    [authorNames()],
  );
  await insertInBatches(
    client,
    `INSERT INTO news.articles (id, section, title, summary, body, tags, meta, author_id, published_at, comment_count)
     SELECT id, section, title, summary, body, string_to_array(tags, ','), meta, author_id, published_at, comments
       FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::int[],
                   $9::timestamptz[], $10::int[])
         AS a(id, section, title, summary, body, tags, meta, author_id, published_at, comments)`,
    writeArticles(random, published, comments),
    1000,
  );
  await insertInBatches(
    client,
    `INSERT INTO news.comments (article_id, author, body, created_at)
     SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::timestamptz[])`,
    comments,
    5000,
  );
  await insertInBatches(
    client,
    `INSERT INTO news.article_views (article_id, viewed_at, seconds, referrer)
     SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::int[], $4::text[])`,
    readArticles(random, size.views, published, until),
    10000,
  );
  await client.query(`
    INSERT INTO news.view_totals (article_id, views)
    SELECT article_id, count(*) FROM news.article_views GROUP BY article_id`);
  for (const table of ['authors', 'articles']) {
    await client.query(
      `SELECT setval(pg_get_serial_sequence('news.${table}', 'id'), max(id)) FROM news.${table}`,
    );
  }
}

// `until` is the instant at which the seeded past ends; by default the last
// midnight (UTC). Returns false when there are articles already.
async function seed({ until = Math.floor(Date.now() / DAY) * DAY, ...sizes } = {}) {
  const size = { ...SIZES, ...sizes };
  const client = await borrow(pools.admin);
  try {
    await client.query('BEGIN');
    await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    const some = await client.query('SELECT EXISTS (SELECT 1 FROM news.articles) AS seeded');
    if (some.rows[0].seeded) {
      await client.query('ROLLBACK');
      return false;
    }
    await insertAll(client, size, until);
    await client.query('COMMIT');
    await client.query('ANALYZE news.authors, news.articles, news.comments');
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw err;
  } finally {
    client.release();
  }
  await admin.maintain();
  return true;
}

// NEWS_ARTICLES makes a smaller or larger newspaper of the same proportions;
// NEWS_UNTIL (a date) fixes where its past ends.
function fromEnvironment(env) {
  const options = {};
  if (env.NEWS_ARTICLES) {
    const factor = Number(env.NEWS_ARTICLES) / SIZES.articles;
    if (!(factor > 0)) throw new Error('NEWS_ARTICLES must be a number above 0');
    for (const [name, count] of Object.entries(SIZES))
      options[name] = Math.max(1, Math.round(count * factor));
  }
  if (env.NEWS_UNTIL) options.until = Date.parse(env.NEWS_UNTIL);
  if (Number.isNaN(options.until)) throw new Error('NEWS_UNTIL must be a date');
  return options;
}

module.exports = { SIZES, fromEnvironment, seed };

if (require.main === module) {
  (async () => {
    const applied = await admin.migrate();
    console.log(applied.length ? `applied ${applied.join('; ')}` : 'schema is up to date');
    console.log((await seed(fromEnvironment(process.env))) ? 'seeded' : 'already seeded');
  })()
    .catch((err) => {
      console.error(err.message);
      process.exitCode = 1;
    })
    .finally(() => pools.endAll());
}
