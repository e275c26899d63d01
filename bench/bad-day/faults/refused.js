'use strict';

// Connects are refused and the present connections are reset, as when a server is started anew or a load balancer has
// no server to lead to. The server itself is well.

const { throughProxy } = require('../stage');

const refusal = {
  open: throughProxy(),
  async strike({ front }) {
    await front.refuse();
    front.cut();
  },
  heal: ({ front }) => front.listen(),
};

// The pool of the plan's first block, with a retry in it that pg does not know.
const PLAN_POOL = { max: 20, min: 5, retryAttempts: 3, retryDelay: 1000 };

const forSeconds = (seconds) => `for ${seconds} s every connection is reset and new ones are refused.`;

const REFUSED = [
  {
    ...refusal,
    name: 'refused-1s',
    title: 'Connections refused for 1 s',
    story: `A server or its load balancer is started anew: ${forSeconds(1)}`,
    terms: { down: 1 },
  },
  {
    ...refusal,
    name: 'refused-3s',
    title: 'Connections refused for 3 s',
    story: `The same, slower: ${forSeconds(3)}`,
    terms: { down: 3 },
  },
  {
    ...refusal,
    name: 'refused-17s',
    title: 'Connections refused for 17 s',
    story: `Longer than an application's retry loop holds out: ${forSeconds(17)}`,
    terms: { down: 17, after: 8 },
    quick: { down: 8 },
  },
  {
    ...refusal,
    name: 'plan-pool-1s',
    title: 'Connections refused for 1 s, a pool with `retryAttempts: 3, retryDelay: 1000`',
    story: `Pools made by hand that are told to retry (pg ignores that): ${forSeconds(1)}`,
    terms: { down: 1 },
    contenders: ['pg', 'pg + loop', 'Pool'],
    options: PLAN_POOL,
  },
  {
    ...refusal,
    name: 'plan-pool-3s',
    title: 'Connections refused for 3 s, a pool with `retryAttempts: 3, retryDelay: 1000`',
    story: `The same pools: ${forSeconds(3)}`,
    terms: { down: 3 },
    contenders: ['pg', 'pg + loop', 'Pool'],
    options: PLAN_POOL,
  },
  {
    name: 'blip-60ms',
    title: 'A blip of 60 ms in a burst of 20',
    story:
      'A network device drops all connections but one and lets nobody in for 60 ms, while 20 requests arrive at once.',
    terms: { down: 0.06 },
    open: throughProxy(),
    async strike({ front }, run) {
      await front.refuse();
      const [, ...others] = front.links;
      for (const link of others) link.cut('reset');
      await run.burst(20);
    },
    heal: ({ front }) => front.listen(),
  },
];

module.exports = { REFUSED };
