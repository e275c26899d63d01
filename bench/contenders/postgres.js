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

    const many = (count) =>
      sql`select n as id, n * 2 as twice, 'name ' || n as name, n % 2 = 0 as even, n / 3.0::float8 as third
        from generate_series(1, ${count}::int4) n`;

    // A statement is sent when it is made.
    function* statementsOf(own, { id, row: { articleId, kind, payload, createdAt } }) {
      const lookup = () =>
        own`select id, author_id, slug, title, views, published_at from pgpool_bench.article where id = ${id}`;
      const insert = () => own`insert into pgpool_bench.event (article_id, kind, payload, created_at)
        values (${articleId}, ${kind}, ${own.json(payload)}, ${createdAt})`;
      yield lookup();
      yield insert();
      yield insert();
      yield lookup();
    }

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

      async arrays(count) {
        return await sql`select id, big, short, long, amount, active, seen_at, born, settings, key
          from pgpool_bench.mixed where id <= ${count} order by id`.values();
      },

      async many(count) {
        return await many(count);
      },

      async manyArrays(count) {
        return await many(count).values();
      },

      async texts(count) {
        return await sql`select repeat(chr(97 + n % 26), 1024) as one, repeat(chr(65 + n % 26), 1024) as two
          from generate_series(1, ${count}::int4) n`;
      },

      async bytes(length) {
        return await sql`select convert_to(repeat('x', ${length}::int4), 'UTF8') as bytes`;
      },

      async acquire(times) {
        for (let time = 0; time < times; time++) {
          const reserved = await sql.reserve();
          reserved.release();
        }
      },

      async transaction(job) {
        const results = await sql.begin(async (own) => {
          const done = [];
          for (const statement of statementsOf(own, job)) done.push(await statement);
          return done;
        });
        return results.map(({ count }) => count);
      },

      async list(job) {
        const results = await sql.begin((own) => [...statementsOf(own, job)]);
        return results.map(({ count }) => count);
      },

      async start(config, count) {
        const own = connect(config, count);
        const results = await Promise.all(Array.from({ length: count }, () => own`select 1 as one`.simple()));
        await own.end();
        return results.flatMap((rows) => Array.from(rows));
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
