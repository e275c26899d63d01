// The nightly report: heavy aggregates over articles, comments and views, on
// the low-priority pool and in one snapshot, so its figures agree with each
// other however long it takes.

'use strict';

const { borrow } = require('./borrow');
const pools = require('./pools');

const DAYS = 30;
const STATEMENT_LIMIT = '20s';

// A day is a UTC day; $1 is the report's day in every statement below.
const DAY_START = `($1::date)::timestamp AT TIME ZONE 'UTC'`;
const DAY_END = `($1::date + 1)::timestamp AT TIME ZONE 'UTC'`;

const STATEMENTS = {
  totals: `
    SELECT
      (SELECT count(*) FROM news.articles WHERE published_at >= ${DAY_START} AND published_at < ${DAY_END}) AS articles,
      (SELECT count(*) FROM news.comments WHERE created_at >= ${DAY_START} AND created_at < ${DAY_END}) AS comments,
      count(*) AS views,
      count(DISTINCT article_id) AS articles_read,
      round(avg(seconds), 1) AS seconds_read,
      coalesce(mode() WITHIN GROUP (ORDER BY referrer), 'direct') AS referrer
    FROM news.article_views WHERE viewed_at >= ${DAY_START} AND viewed_at < ${DAY_END}`,

  sections: `
    SELECT a.section,
           count(DISTINCT a.id) AS articles,
           count(*) AS views,
           round(avg(v.seconds), 2) AS mean_seconds,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY v.seconds) AS p90_seconds,
           round(100.0 * count(*) / sum(count(*)) OVER (), 2) AS share
      FROM news.article_views v JOIN news.articles a ON a.id = v.article_id
     WHERE v.viewed_at >= ${DAY_END} - interval '7 days' AND v.viewed_at < ${DAY_END}
     GROUP BY a.section
     ORDER BY views DESC, a.section`,

  days: `
    WITH days AS (
      SELECT day::date FROM generate_series($1::date - ${DAYS - 1}, $1::date, interval '1 day') AS day
    ), views AS (
      SELECT (viewed_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n FROM news.article_views
       WHERE viewed_at < ${DAY_END} AND viewed_at >= ${DAY_END} - interval '${DAYS} days' GROUP BY 1
    ), comments AS (
      SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n FROM news.comments
       WHERE created_at < ${DAY_END} AND created_at >= ${DAY_END} - interval '${DAYS} days' GROUP BY 1
    )
    SELECT to_char(day, 'YYYY-MM-DD') AS day,
           coalesce(v.n, 0) AS views,
           coalesce(c.n, 0) AS comments,
           avg(coalesce(v.n, 0)) OVER (ORDER BY day ROWS 6 PRECEDING)::float8 AS views_week
      FROM days LEFT JOIN views v USING (day) LEFT JOIN comments c USING (day)
     ORDER BY days.day`,

  hours: `
    SELECT hour::int, count(v.id) AS views
      FROM generate_series(0, 23) AS hour
      LEFT JOIN news.article_views v
        ON extract(hour FROM v.viewed_at AT TIME ZONE 'UTC') = hour
       AND v.viewed_at >= ${DAY_START} AND v.viewed_at < ${DAY_END}
     GROUP BY hour ORDER BY hour`,

  authors: `
    WITH written AS (
      SELECT author_id, count(*) AS articles, sum(comment_count) AS comments
        FROM news.articles
       WHERE published_at < ${DAY_END} AND published_at >= ${DAY_END} - interval '${DAYS} days'
       GROUP BY author_id
    ), read AS (
      SELECT a.author_id, count(*) AS views
        FROM news.article_views v JOIN news.articles a ON a.id = v.article_id
       WHERE v.viewed_at < ${DAY_END} AND v.viewed_at >= ${DAY_END} - interval '${DAYS} days'
       GROUP BY a.author_id
    )
    SELECT rank() OVER (ORDER BY r.views DESC) AS place, u.name,
           coalesce(w.articles, 0) AS articles, coalesce(w.comments, 0) AS comments, r.views
      FROM read r JOIN news.authors u ON u.id = r.author_id LEFT JOIN written w USING (author_id)
     ORDER BY place, u.name LIMIT 10`,

  articles: `
    WITH ranked AS (
      SELECT article_id, count(*) AS views, rank() OVER (ORDER BY count(*) DESC) AS place
        FROM news.article_views WHERE viewed_at >= ${DAY_START} AND viewed_at < ${DAY_END}
       GROUP BY article_id
    ), before AS (
      SELECT article_id, rank() OVER (ORDER BY count(*) DESC) AS place
        FROM news.article_views
       WHERE viewed_at < ${DAY_START} AND viewed_at >= ${DAY_START} - interval '1 day'
       GROUP BY article_id
    )
    SELECT r.place, b.place AS place_before, a.id, a.title, a.section, r.views
      FROM ranked r JOIN news.articles a ON a.id = r.article_id LEFT JOIN before b USING (article_id)
     ORDER BY r.place, a.id LIMIT 10`,

  discussion: `
    SELECT width_bucket(comment_count, ARRAY[1, 2, 4, 8, 16]) AS bucket,
           min(comment_count) AS from_count, max(comment_count) AS to_count,
           count(*) AS articles, array_agg(DISTINCT section ORDER BY section) AS sections
      FROM news.articles GROUP BY bucket ORDER BY bucket`,
};

// bigint and numeric arrive as text, as always with pg; a report is read by
// people and charts, so counts become numbers where they are counts.
const COUNTS = ['articles', 'comments', 'views', 'articles_read', 'place', 'place_before'];

function withNumbers(row) {
  for (const name of COUNTS) {
    if (typeof row[name] === 'string') row[name] = Number(row[name]);
  }
  return row;
}

// The last complete UTC day on which anybody read something.
async function latestDay() {
  const today = new Date().toISOString().slice(0, 10);
  const result = await pools.low.query(
    `SELECT to_char(max(viewed_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day
       FROM news.article_views WHERE viewed_at < ${DAY_START}`,
    [today],
  );
  return result.rows[0].day || today;
}

// Computes the report of one UTC day, 'YYYY-MM-DD'; by default the latest.
async function nightly(day) {
  const reportDay = day || (await latestDay());
  const report = { day: reportDay };
  const client = await borrow(pools.low);
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await client.query(`SET LOCAL statement_timeout = '${STATEMENT_LIMIT}'; SET LOCAL work_mem = '32MB'`);
    for (const [part, text] of Object.entries(STATEMENTS)) {
      const values = text.includes('$1') ? [reportDay] : undefined;
      const result = await client.query(text, values);
      report[part] = result.rows.map(withNumbers);
    }
    await client.query('COMMIT');
  } catch (err) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw err;
  } finally {
    client.release();
  }
  report.totals = report.totals[0];
  return report;
}

// The job itself: compute, and keep the result. Running it again replaces it.
async function runNightly(day) {
  const report = await nightly(day);
  const result = await pools.low.query(
    `INSERT INTO news.report_runs (day, report) VALUES ($1, $2)
     ON CONFLICT (day) DO UPDATE SET report = excluded.report, ran_at = now(), runs = report_runs.runs + 1
     RETURNING to_char(day, 'YYYY-MM-DD') AS day, runs, ran_at`,
    [report.day, report],
  );
  return result.rows[0];
}

async function recentRuns(limit = 10) {
  const result = await pools.low.query(
    `SELECT to_char(day, 'YYYY-MM-DD') AS day, ran_at, runs, report -> 'totals' AS totals
       FROM news.report_runs ORDER BY report_runs.day DESC LIMIT $1`,
    [limit],
  );
  return result.rows;
}

module.exports = { nightly, runNightly, recentRuns };
