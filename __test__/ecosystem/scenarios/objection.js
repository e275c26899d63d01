'use strict';

const knexOf = require('knex');
const { Model, transaction } = require('objection');

class Pet extends Model {
  static tableName = 'pet';
}

class Owner extends Model {
  static tableName = 'owner';
  static relationMappings = {
    pets: { relation: Model.HasManyRelation, modelClass: Pet, join: { from: 'owner.id', to: 'pet.ownerId' } },
  };
}

module.exports = async function scenario(config) {
  const knex = knexOf({ client: 'pg', connection: config });
  Model.knex(knex);
  await knex.schema.createTable('owner', (t) => void (t.increments('id'), t.string('name')));
  await knex.schema.createTable(
    'pet',
    (t) =>
      void (t.increments('id'),
      t.integer('ownerId').references('owner.id'),
      t.string('name'),
      t.jsonb('toys')),
  );
  await Owner.query().insertGraph({
    name: 'Ada',
    pets: [{ name: 'Rex', toys: JSON.stringify(['ball']) }, { name: 'Tom' }],
  });
  const graph = await Owner.query().withGraphFetched('pets').orderBy('id');
  const failed = await transaction(knex, async (trx) => {
    await Pet.query(trx).delete();
    await Pet.query(trx).insert({ ownerId: 99 });
  }).catch(({ name, nativeError }) => [name, nativeError && nativeError.code]);
  const count = await Pet.query().resultSize();
  await knex.destroy();
  return { graph: JSON.parse(JSON.stringify(graph)), failed, count };
};
