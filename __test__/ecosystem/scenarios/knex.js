'use strict';

const { once } = require('node:events');
const { Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const knexOf = require('knex');

module.exports = async function scenario(config) {
  const knex = knexOf({ client: 'pg', connection: config, pool: { min: 0, max: 4 } });
  await knex.schema.createTable('job', (table) => {
    table.increments('id');
    table.string('name').unique();
    table.jsonb('payload');
    table.specificType('tags', 'text[]');
    table.timestamps(true, true);
  });
  const ids = await knex('job')
    .insert(
      Array.from({ length: 50 }, (_, n) => ({ name: `job ${n}`, payload: { n }, tags: ['x', String(n)] })),
    )
    .returning('id');
  const page = await knex('job').select('id', 'payload', 'tags').where('id', '>', 10).orderBy('id').limit(3);
  const upserted = await knex('job')
    .insert({ name: 'job 1', payload: { n: 'again' } })
    .onConflict('name')
    .merge(['payload'])
    .returning('payload');
  const error = await knex
    .transaction(async (trx) => {
      await trx('job').del();
      await trx('job').insert({ name: null, id: 'no number' });
    })
    .catch(({ code, message }) => [code, message.split(' - ').pop()]);
  const [{ count }] = await knex('job').count();
  const streamed = [];
  const sink = new Writable({
    objectMode: true,
    write: (row, _, done) => done(null, void streamed.push(row.id)),
  });
  await pipeline(knex('job').select('id').orderBy('id').limit(20).stream({ highWaterMark: 5 }), sink);
  const cancelled = await knex
    .raw('SELECT pg_sleep(30)')
    .timeout(100, { cancel: true })
    .catch(({ name }) => name);
  const raw = await knex.raw('SELECT ?::int + ?::int AS sum', [1, 2]);
  const seen = once(knex, 'query');
  await knex.select(1);
  const [{ sql }] = await seen;
  await knex.destroy();
  return { ids: ids.length, page, upserted, error, count, streamed, cancelled, raw: raw.rows, sql };
};
