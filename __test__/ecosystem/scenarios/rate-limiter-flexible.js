'use strict';

const { RateLimiterPostgres } = require('rate-limiter-flexible');

function limiterOf(options) {
  return new Promise((resolve, reject) => {
    const limiter = new RateLimiterPostgres({ points: 2, duration: 60, ...options }, (error) =>
      error ? reject(error) : resolve(limiter),
    );
  });
}

module.exports = async function scenario(config, pg) {
  const pool = new pg.Pool(config);
  const limiter = await limiterOf({ storeClient: pool, tableName: 'limits' });
  const told = ({ consumedPoints, remainingPoints }) => [consumedPoints, remainingPoints];
  const consumed = [];
  for (let n = 0; n < 3; n++)
    consumed.push(await limiter.consume('reader').then(told, (refusal) => ['refused', ...told(refusal)]));
  const state = told(await limiter.get('reader'));
  const gone = [await limiter.delete('reader'), await limiter.get('reader')];
  const many = await Promise.all(Array.from({ length: 5 }, () => limiter.penalty('busy').then(told)));
  await pool.end();
  return { consumed, state, gone, many: many.map(([points]) => points).sort() };
};
