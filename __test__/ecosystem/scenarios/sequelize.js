'use strict';

const { Sequelize, DataTypes, Op } = require('sequelize');

module.exports = async function scenario({ host, port, user, password, database }) {
  const sequelize = new Sequelize(database, user, password, {
    host,
    port,
    dialect: 'postgres',
    logging: false,
    pool: { max: 4 },
  });
  await sequelize.authenticate();
  const Author = sequelize.define(
    'author',
    { name: { type: DataTypes.STRING, unique: true } },
    { timestamps: false },
  );
  const Book = sequelize.define(
    'book',
    {
      title: DataTypes.STRING,
      price: DataTypes.DECIMAL(10, 2),
      tags: DataTypes.ARRAY(DataTypes.STRING),
      meta: DataTypes.JSONB,
      state: DataTypes.ENUM('draft', 'printed'),
      cover: DataTypes.BLOB,
      span: DataTypes.RANGE(DataTypes.INTEGER),
    },
    { timestamps: false },
  );
  Author.hasMany(Book);
  Book.belongsTo(Author);
  await sequelize.sync({ force: true });
  const ada = await Author.create({ name: 'Ada' });
  await Book.bulkCreate(
    [1, 2, 3].map((n) => ({
      title: `b${n}`,
      price: n + 0.5,
      tags: ['x', `y${n}`],
      meta: { n },
      state: 'draft',
      authorId: ada.id,
      cover: Buffer.from([0, 255, n]),
      span: [n, n + 10],
    })),
  );
  const found = await Author.findAll({
    include: { model: Book, where: { 'meta.n': { [Op.gt]: 1 } } },
    order: [[Book, 'id', 'ASC']],
  });
  const unique = await Author.create({ name: 'Ada' }).catch(({ name, fields }) => [name, fields]);
  await sequelize
    .transaction(async (transaction) => {
      await Book.destroy({ where: {}, transaction });
      throw new Error('no');
    })
    .catch(() => {});
  const [updated, rows] = await Book.update(
    { state: 'printed' },
    { where: { title: 'b2' }, returning: true },
  );
  const [created, isNew] = await Author.findOrCreate({ where: { name: 'Bob' } });
  const raw = await sequelize.query('SELECT :n::int AS n, $$text$$ AS t', {
    replacements: { n: 5 },
    type: 'SELECT',
  });
  const total = await Book.sum('price');
  await sequelize.close();
  return {
    found: JSON.parse(JSON.stringify(found)),
    unique,
    updated,
    row: rows[0].toJSON().state,
    created: created.name,
    isNew,
    raw,
    total,
  };
};
