'use strict';

const { EntitySchema, MikroORM } = require('@mikro-orm/postgresql');

const Author = new EntitySchema({
  name: 'Author',
  properties: {
    id: { type: 'number', primary: true },
    name: { type: 'string', unique: true },
    born: { type: 'Date', nullable: true },
    details: { type: 'json', nullable: true },
    articles: { kind: '1:m', entity: 'Article', mappedBy: 'author' },
  },
});
const Article = new EntitySchema({
  name: 'Article',
  properties: {
    id: { type: 'number', primary: true },
    title: { type: 'text' },
    views: { type: 'bigint', default: 0 },
    author: { kind: 'm:1', entity: 'Author' },
  },
});

module.exports = async function scenario({ user, password, host, port, database }) {
  const orm = await MikroORM.init({
    entities: [Author, Article],
    dbName: database,
    user,
    password,
    host,
    port,
    pool: { min: 0, max: 3 },
    discovery: { warnWhenNoEntities: false },
  });
  await orm.schema.createSchema();
  const em = orm.em.fork();
  const author = em.create('Author', {
    name: 'Ada',
    born: new Date('1815-12-10T00:00:00Z'),
    details: { a: [1, 'ü'] },
  });
  for (let n = 0; n < 5; n++) em.create('Article', { title: `title ${n}`, views: `${n}`, author });
  await em.flush();
  const read = await orm.em.fork().findOneOrFail('Author', { name: 'Ada' }, { populate: ['articles'] });
  const articles = read.articles.getItems().map(({ title, views }) => [title, String(views)]);
  const unique = await orm.em
    .fork()
    .transactional(async (inner) => {
      await inner.nativeDelete('Article', {});
      inner.create('Author', { name: 'Ada' });
    })
    .catch(({ name, code }) => [name, code]);
  const page = await orm.em
    .fork()
    .findAndCount('Article', { title: { $like: 'title%' } }, { limit: 2, orderBy: { id: 'desc' } });
  const raw = await orm.em.getConnection().execute('SELECT ? :: int + ? :: int AS sum', [1, 2]);
  await orm.close();
  return {
    read: [read.name, read.born.toISOString(), read.details],
    articles,
    unique,
    page: [page[0].map(({ title }) => title), page[1]],
    raw,
  };
};
