// postgres.js with its defaults, written as its manual shows: tagged templates,
// which it prepares and pipelines. Its value mapping agrees with pg's here, so
// the same rows are expected of it.
'use strict';

module.exports = {
  package: 'postgres',
  load() {
    const postgres = require('postgres');
    let sql;

    // It knows `username`, where pg says `user`.
    const connect = ({ user, ...config }, max) => postgres({ ...config, username: user, max });

    return {
      async open(config, max) {
        sql = connect(config, max);
      },

      async lookup(id) {
        const rows =
          await sql`select id, author_id, slug, title, views, published_at from pgpool_bench.article where id = ${id}`;
        return rows[0];
      },

      async insert({ articleId, kind, payload, createdAt }) {
        const result = await sql`insert into pgpool_bench.event (article_id, kind, payload, created_at)
          values (${articleId}, ${kind}, ${sql.json(payload)}, ${createdAt})`;
        return result.count;
      },

      async rows(count) {
        return await sql`select id, big, short, long, amount, active, seen_at, born, settings, key
          from pgpool_bench.mixed where id <= ${count} order by id`;
      },

      async simple() {
        return await sql`select 1 as one`.simple();
      },

      async complex(first, last) {
        return await sql`select a.id, a.name, count(*)::int4 as articles, sum(t.views) as views, max(t.published_at) as latest
          from pgpool_bench.article t join pgpool_bench.author a on a.id = t.author_id
          where t.author_id between ${first} and ${last} group by a.id, a.name order by views desc, a.id limit 20`;
      },

      async connectOnce(config) {
        const once = connect(config, 1);
        const rows = await once`select 1 as one`.simple();
        await once.end();
        return rows;
      },

      close() {
        return sql.end();
      },
    };
  },
};
