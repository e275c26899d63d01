'use strict';

// Options of one query, and of one transaction.

const AS_POOL = "the pool's";
const AS_CLIENT = "the client's";
const RETRYABLE = ['55P03', '55006', '23505', '23P01'];

const QUERY = [
  {
    name: 'text',
    kind: 'text',
    doc: 'the statement. Without `values`, several separated by `;` are allowed',
  },
  {
    name: 'values',
    kind: 'object',
    otherwise: 'none',
    doc: 'the parameters `$1`, `$2`',
  },
  {
    name: 'name',
    kind: 'text',
    otherwise: 'none',
    doc: 'a prepared statement of that name, for the life of the connection',
  },
  {
    name: 'rowMode',
    kind: 'choice',
    choices: ['array'],
    otherwise: 'objects',
    doc: "`'array'`: rows as arrays",
  },
  {
    name: 'types',
    kind: 'object',
    otherwise: AS_CLIENT,
    doc: 'type parsers for this query',
  },
  {
    name: 'queryMode',
    kind: 'choice',
    choices: ['extended'],
    otherwise: 'none',
    doc: "`'extended'`: the extended protocol also without values",
  },
  {
    name: 'binary',
    kind: 'flag',
    otherwise: AS_CLIENT,
    doc: 'the result in binary',
  },
  {
    name: 'rows',
    kind: 'count',
    from: 1,
    otherwise: 'all at once',
    doc: 'that many rows at a time are fetched through a portal; all of them are still collected: `stream` is what saves memory. Not with `pipeline`',
  },
  {
    name: 'query_timeout',
    kind: 'millis',
    from: 0,
    otherwise: AS_CLIENT,
    doc: 'see above',
  },
  {
    name: 'maxResultBytes',
    kind: 'bytes',
    from: 0,
    otherwise: AS_CLIENT,
    doc: 'see above',
  },
  {
    name: 'signal',
    kind: 'object',
    otherwise: 'none',
    doc: 'an `AbortSignal`: ends waiting, connecting and running with its reason; what runs is cancelled on the server. Also of `connect({ signal })`',
  },
];

const POOL_QUERY = [
  {
    name: 'idempotent',
    kind: 'flag',
    default: false,
    doc: 'running it twice does no harm: it may run again when its answer is lost',
  },
  {
    name: 'readOnly',
    kind: 'flag',
    default: false,
    doc: 'it changes nothing; as `idempotent`, and may run on a [replica](tiers.md#replicas)',
  },
  {
    name: 'deadline',
    kind: 'millis',
    from: 0,
    otherwise: AS_POOL,
    doc: 'for waiting, connecting, running and all retries',
  },
  {
    name: 'retryAttempts',
    aliases: ['maxRetries'],
    kind: 'count',
    from: 0,
    otherwise: AS_POOL,
    doc: 'retries after the first attempt',
  },
  {
    name: 'retryDelay',
    aliases: ['baseDelay'],
    kind: 'millis',
    from: 0,
    otherwise: AS_POOL,
    doc: 'the base of the delays',
  },
  {
    name: 'retryOn',
    kind: 'object',
    choices: RETRYABLE,
    otherwise: 'none',
    doc: `of ${RETRYABLE.map((code) => `\`${code}\``).join(', ')} those that are tried again; other codes in it change nothing`,
  },
];

module.exports = [
  ...QUERY.map((option) => ({ owner: 'query', ...option })),
  ...POOL_QUERY.map((option) => ({ owner: 'pool.query', ...option })),
];
