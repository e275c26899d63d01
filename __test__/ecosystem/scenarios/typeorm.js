'use strict';

require('reflect-metadata');
const { DataSource, EntitySchema, MoreThan } = require('typeorm');

const Person = new EntitySchema({
  name: 'Person',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    name: { type: 'text', unique: true },
    born: { type: 'timestamptz', nullable: true },
    meta: { type: 'jsonb', nullable: true },
    tags: { type: 'text', array: true, default: '{}' },
    key: { type: 'uuid', generated: 'uuid' },
  },
});

module.exports = async function scenario({ host, port, user, password, database }) {
  const source = new DataSource({
    type: 'postgres',
    host,
    port,
    username: user,
    password,
    database,
    entities: [Person],
    synchronize: true,
    poolSize: 4,
  });
  await source.initialize();
  const people = source.getRepository('Person');
  await people.save(
    [1, 2, 3].map((n) => ({ name: `p${n}`, born: new Date(n), meta: { n }, tags: ['a', `b${n}`] })),
  );
  const found = await people.find({
    where: { id: MoreThan(1) },
    order: { id: 'DESC' },
    select: { id: true, name: true, born: true, meta: true, tags: true },
  });
  const duplicate = await people
    .insert({ name: 'p1' })
    .catch(({ name, code, detail }) => [name, code, detail]);
  await source
    .transaction('SERIALIZABLE', async (manager) => {
      await manager.delete('Person', { id: 1 });
      throw new Error('no');
    })
    .catch(() => {});
  const built = await people
    .createQueryBuilder('p')
    .select('count(*)', 'n')
    .addSelect('max(p.id)', 'top')
    .getRawOne();
  const streamed = [];
  const runner = source.createQueryRunner();
  for await (const row of await runner.stream('SELECT id, name FROM person ORDER BY id')) streamed.push(row);
  await runner.release();
  const raw = await source.query('SELECT $1::int AS n', [7]);
  await source.destroy();
  return { found, duplicate, built, streamed, raw };
};
