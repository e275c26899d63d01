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
    if (named) return pool.query({ name: `bench-${operation}`, text: STATEMENTS[operation], values });
    return pool.query(STATEMENTS[operation], values);
  }

  async function withClient(work) {
    const client = await pool.connect();
    try {
      return await work(client);
    } finally {
      client.release();
    }
  }

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
