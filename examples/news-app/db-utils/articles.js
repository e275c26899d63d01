// Articles: listing with pages, full-text search, one by id, create, update.

'use strict';

const { borrow } = require('./borrow');
const pools = require('./pools');

const SECTIONS = ['world', 'politics', 'business', 'technology', 'science', 'climate', 'culture', 'sport'];

// A search ranks the newest matches only, so a word that is in every article
// costs no more than a rare one.
const RANKED_MATCHES = 1000;

// ts_headline marks matches with these characters; the page turns them into
// <mark> after escaping, so text from the database is never trusted as HTML.
const MARK = { start: '\u27e6', stop: '\u27e7' };

const CARD = `a.id, a.section, a.title, a.summary, a.tags, a.published_at, a.comment_count, u.name AS author`;

async function list({ section = null, page = 1, pageSize = 20 } = {}) {
  const [rows, count] = await Promise.all([
    pools.read(
      `SELECT ${CARD}
         FROM news.articles a JOIN news.authors u ON u.id = a.author_id
        WHERE $1::text IS NULL OR a.section = $1
        ORDER BY a.published_at DESC, a.id DESC
        LIMIT $2 OFFSET $3`,
      [section, pageSize, (page - 1) * pageSize],
    ),
    pools.read('SELECT count(*) FROM news.articles a WHERE $1::text IS NULL OR a.section = $1', [section]),
  ]);
  return { articles: rows.rows, total: Number(count.rows[0].count), page, pageSize };
}

async function latestBySection(perSection = 3) {
  const result = await pools.high.query({
    readOnly: true,
    name: 'latest-by-section',
    text: `SELECT ${CARD}
             FROM unnest($1::text[]) WITH ORDINALITY AS s(section, place)
            CROSS JOIN LATERAL (
              SELECT * FROM news.articles
               WHERE section = s.section
               ORDER BY published_at DESC, id DESC LIMIT $2
            ) a
             JOIN news.authors u ON u.id = a.author_id
            ORDER BY s.place, a.published_at DESC, a.id DESC`,
    values: [SECTIONS, perSection],
  });
  return result.rows;
}

async function search(words, { page = 1, pageSize = 20 } = {}) {
  const matches = `
    SELECT id, ts_rank(search, q) AS rank, q
      FROM news.articles, websearch_to_tsquery('english', $1) AS q
     WHERE search @@ q
     ORDER BY published_at DESC, id DESC
     LIMIT ${RANKED_MATCHES}`;
  const [rows, count] = await Promise.all([
    pools.read(
      `WITH found AS (${matches}),
            shown AS (SELECT * FROM found ORDER BY rank DESC, id DESC LIMIT $2 OFFSET $3)
       SELECT ${CARD}, s.rank,
              ts_headline('english', a.body, s.q,
                'StartSel=${MARK.start}, StopSel=${MARK.stop}, MaxFragments=2, MaxWords=24, MinWords=10') AS excerpt
         FROM shown s
         JOIN news.articles a USING (id)
         JOIN news.authors u ON u.id = a.author_id
        ORDER BY s.rank DESC, a.id DESC`,
      [words, pageSize, (page - 1) * pageSize],
    ),
    pools.read(`SELECT count(*) FROM (${matches}) AS found`, [words]),
  ]);
  return { articles: rows.rows, total: Number(count.rows[0].count), page, pageSize };
}

async function byId(id) {
  const result = await pools.high.query({
    readOnly: true,
    name: 'article-by-id',
    text: `SELECT ${CARD}, a.body, a.meta, a.updated_at, coalesce(t.views, 0) AS views
             FROM news.articles a
             JOIN news.authors u ON u.id = a.author_id
             LEFT JOIN news.view_totals t ON t.article_id = a.id
            WHERE a.id = $1`,
    values: [id],
  });
  return result.rows[0] || null;
}

async function related(article, limit = 4) {
  const result = await pools.read(
    `SELECT ${CARD}
       FROM news.articles a JOIN news.authors u ON u.id = a.author_id
      WHERE a.section = $1 AND a.id <> $2 AND a.published_at <= $3
      ORDER BY a.published_at DESC, a.id DESC LIMIT $4`,
    [article.section, article.id, article.published_at, limit],
  );
  return result.rows;
}

async function create({ section, title, summary, body, author, tags = [], meta = {} }) {
  const client = await borrow(pools.high);
  try {
    await client.query('BEGIN');
    const writer = await client.query(
      `INSERT INTO news.authors (name) VALUES ($1)
       ON CONFLICT (name) DO UPDATE SET name = excluded.name
       RETURNING id`,
      [author],
    );
    const article = await client.query(
      `INSERT INTO news.articles (section, title, summary, body, tags, meta, author_id)
       VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`,
      [section, title, summary, body, tags, meta, writer.rows[0].id],
    );
    await client.query('COMMIT');
    return article.rows[0].id;
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw err;
  } finally {
    client.release();
  }
}

const CHANGEABLE = ['section', 'title', 'summary', 'body', 'tags', 'meta'];

// Returns false when there is no such article.
async function update(id, changes) {
  const columns = CHANGEABLE.filter((column) => changes[column] !== undefined);
  const assignments = columns.map((column, i) => `${column} = $${i + 2}`);
  const result = await pools.high.query(
    `UPDATE news.articles SET ${[...assignments, 'updated_at = now()'].join(', ')} WHERE id = $1`,
    [id, ...columns.map((column) => changes[column])],
  );
  return result.rowCount === 1;
}

module.exports = { SECTIONS, CHANGEABLE, MARK, list, latestBySection, search, byId, related, create, update };
