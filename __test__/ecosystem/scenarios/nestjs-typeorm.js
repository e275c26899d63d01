'use strict';

require('reflect-metadata');
const { Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { TypeOrmModule, getDataSourceToken, getRepositoryToken } = require('@nestjs/typeorm');
const { EntitySchema } = require('typeorm');

class Article {}
const ArticleSchema = new EntitySchema({
  name: 'Article',
  target: Article,
  columns: { id: { type: 'int', primary: true, generated: true }, title: { type: 'text', unique: true } },
});

module.exports = async function scenario({ user, password, host, port, database }) {
  class AppModule {}
  const options = { type: 'postgres', host, port, username: user, password, database, synchronize: true };
  Module({
    imports: [
      TypeOrmModule.forRoot({ ...options, entities: [ArticleSchema], retryAttempts: 0 }),
      TypeOrmModule.forFeature([Article]),
    ],
  })(AppModule);
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const articles = app.get(getRepositoryToken(Article));
  await articles.save([{ title: 'ü' }, { title: 'b' }]);
  const found = await articles.find({ order: { id: 'ASC' } });
  const failed = await app
    .get(getDataSourceToken())
    .transaction(async (manager) => {
      await manager.delete(Article, { title: 'b' });
      await manager.insert(Article, { title: 'ü' });
    })
    .catch(({ name, code }) => [name, code]);
  const count = await articles.count();
  await app.close();
  return { found: found.map(({ id, title }) => [id, title]), failed, count };
};
