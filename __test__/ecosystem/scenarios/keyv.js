'use strict';

const { Keyv } = require('keyv');
const { default: KeyvPostgres } = require('@keyv/postgres');

module.exports = async function scenario({ user, password, host, port, database }) {
  const uri = `postgresql://${user}:${password}@${host}:${port}/${database}`;
  const store = new KeyvPostgres({ uri, table: 'cache' });
  const keyv = new Keyv({ store, namespace: 'news' });
  await keyv.set('a', { title: 'ü"\'', n: 1 });
  await keyv.set('b', [1, 2], 1);
  await keyv.setMany([
    { key: 'c', value: 3 },
    { key: 'd', value: null },
  ]);
  await new Promise((resolve) => setTimeout(resolve, 10));
  const values = await keyv.getMany(['a', 'b', 'c', 'd', 'e']);
  const deleted = [await keyv.delete('a'), await keyv.delete('a'), await keyv.has('c')];
  const iterated = [];
  for await (const [key, value] of keyv.iterator()) iterated.push([key, value]);
  await keyv.clear();
  const cleared = await keyv.get('c');
  await keyv.disconnect();
  return { values, deleted, iterated, cleared: cleared === undefined };
};
