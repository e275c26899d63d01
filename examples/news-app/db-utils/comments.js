// Reader comments. The counter on the article and the comment itself change in
// one transaction, so the number on the front page is always the true one.

'use strict';

const { borrow } = require('./borrow');
const pools = require('./pools');

async function list(articleId, { page = 1, pageSize = 50 } = {}) {
  const result = await pools.read(
    `SELECT id, author, body, created_at
       FROM news.comments
      WHERE article_id = $1
      ORDER BY created_at DESC, id DESC
      LIMIT $2 OFFSET $3`,
    [articleId, pageSize, (page - 1) * pageSize],
  );
  return result.rows;
}

// Returns null when there is no such article.
async function add(articleId, { author, body }) {
  const client = await borrow(pools.high);
  try {
    await client.query('BEGIN');
    const counted = await client.query(
      'UPDATE news.articles SET comment_count = comment_count + 1 WHERE id = $1 RETURNING comment_count',
      [articleId],
    );
    if (counted.rowCount === 0) {
      await client.query('ROLLBACK');
      return null;
    }
    const comment = await client.query(
      'INSERT INTO news.comments (article_id, author, body) VALUES ($1, $2, $3) RETURNING *',
      [articleId, author, body],
    );
    await client.query('COMMIT');
    return { ...comment.rows[0], comment_count: counted.rows[0].comment_count };
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw err;
  } finally {
    client.release();
  }
}

module.exports = { list, add };
