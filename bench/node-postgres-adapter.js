// The bench's operations on anything that has pg's API. pg, its variants and
// pgpool-rs run this very code; only the module that is loaded differs.
'use strict';

const { bulkOperations } = require('./bulk');
const { STATEMENTS } = require('./schema');

// `named` gives every statement a name, so that the server parses and plans it
// once per connection; without it the module does what it does by default.
// `bulk`: whether the module gives its connection to submittables.
function nodePostgresAdapter(module, { named = false, bulk = true } = {}) {
  let pool;

  function request(operation, values) {
    return pool.query(named ? statementOf(operation, values) : STATEMENTS[operation], values);
  }

  function statementOf(operation, values) {
    const text = STATEMENTS[operation];
    return named ? { name: `bench-${operation}`, text, values } : { text, values };
  }

  async function withClient(work) {
    const client = await pool.connect();
    try {
      return await work(client);
    } finally {
      client.release();
    }
  }

  // As the module's users write it: with its own function where it has one.
  async function transaction(work) {
    if (pool.transaction) return pool.transaction(work);
    return withClient(async (client) => {
      await client.query('begin');
      const value = await work(client);
      await client.query('commit');
      return value;
    });
  }

  async function inOrder(client, statements) {
    const results = [];
    for (const statement of statements) results.push(await client.query(statement));
    return results;
  }

  const listOf = ({ id, row: { articleId, kind, payload, createdAt } }) => [
    statementOf('lookup', [id]),
    statementOf('insert', [articleId, kind, payload, createdAt]),
    statementOf('insert', [articleId, kind, payload, createdAt]),
    statementOf('lookup', [id]),
  ];

  return {
    ...(bulk ? bulkOperations(withClient) : {}),

    async open(config, max) {
      pool = new module.Pool({ ...config, max });
    },

    async lookup(id) {
      const result = await request('lookup', [id]);
      return result.rows[0];
    },

    async insert({ articleId, kind, payload, createdAt }) {
      const result = await request('insert', [articleId, kind, payload, createdAt]);
      return result.rowCount;
    },

    async rows(count) {
      const result = await request('rows', [count]);
      return result.rows;
    },

    async arrays(count) {
      const result = await pool.query({ ...statementOf('rows', [count]), rowMode: 'array' });
      return result.rows;
    },

    async many(count) {
      const result = await request('many', [count]);
      return result.rows;
    },

    async manyArrays(count) {
      const result = await pool.query({ ...statementOf('many', [count]), rowMode: 'array' });
      return result.rows;
    },

    async texts(count) {
      const result = await request('texts', [count]);
      return result.rows;
    },

    async bytes(length) {
      const result = await request('bytes', [length]);
      return result.rows;
    },

    async acquire(times) {
      for (let time = 0; time < times; time++) {
        const client = await pool.connect();
        client.release();
      }
    },

    async transaction(job) {
      const results = await transaction((client) => inOrder(client, listOf(job)));
      return results.map(({ rowCount }) => rowCount);
    },

    async list(job) {
      const results = module.executeTransactionWithRetry
        ? await module.executeTransactionWithRetry(listOf(job), { pool })
        : await transaction((client) => inOrder(client, listOf(job)));
      return results.map(({ rowCount }) => rowCount);
    },

    async start(config, count) {
      const own = new module.Pool({ ...config, max: count });
      const results = await Promise.all(Array.from({ length: count }, () => own.query(STATEMENTS.simple)));
      await own.end();
      return results.flatMap(({ rows }) => rows);
    },

    async simple() {
      const result = await pool.query(STATEMENTS.simple);
      return result.rows;
    },

    async complex(first, last) {
      const result = await request('complex', [first, last]);
      return result.rows;
    },

    async connectOnce(config) {
      const client = new module.Client(config);
      await client.connect();
      const result = await client.query(STATEMENTS.simple);
      await client.end();
      return result.rows;
    },

    close() {
      return pool.end();
    },
  };
}

module.exports = { nodePostgresAdapter };
