'use strict';

// A pool of clients of another package. They open their connections themselves, so the pool is pg-pool's own; it
// remains an instance of our classes, and overridden methods stay overridden. pg-pool is an optional peer: whoever
// has such clients has pg, which brings it.

const { EventEmitter } = require('node:events');

const constructors = new WeakMap();

function pgPool() {
  try {
    return require('pg-pool');
  } catch (cause) {
    /** @type {NodeJS.ErrnoException} */
    const error = new Error(
      'a Client class of another package is pooled by pg-pool: install pg-pool beside it',
      { cause },
    );
    error.code = 'ERR_PGPOOL_NO_PG_POOL';
    throw error;
  }
}

/** Whether this class of clients is of another package. */
function isForeign(ClientClass, Client) {
  return ClientClass !== Client && !(ClientClass.prototype instanceof Client);
}

/**
 * @param Derived the class that was asked for with `new`
 * @param Base our Pool, whose methods do not apply
 * @returns {any} a pool of pg-pool's
 * @throws Error with the code ERR_PGPOOL_NO_PG_POOL where pg-pool is not installed
 */
function foreignPool(options, ClientClass, Derived, Base) {
  const PgPool = pgPool();
  let constructor = constructors.get(Derived);
  if (constructor === undefined) {
    constructor = function () {};
    constructor.prototype = layered(PgPool.prototype, Derived.prototype, Base.prototype);
    constructors.set(Derived, constructor);
  }
  return Reflect.construct(PgPool, [options, ClientClass], constructor);
}

function layered(foreign, derived, base) {
  const methods = Object.getOwnPropertyDescriptors(foreign);
  delete methods.constructor;
  for (let layer = derived; layer !== base && layer !== null; layer = Object.getPrototypeOf(layer)) {
    for (const name of Object.getOwnPropertyNames(layer)) delete methods[name];
  }
  // Members that our class adds: pg-pool has EventEmitter's methods and plain properties in their places.
  for (const name of Object.getOwnPropertyNames(base)) {
    if (Object.hasOwn(methods, name) || name === 'constructor') continue;
    const emitters = Object.getOwnPropertyDescriptor(EventEmitter.prototype, name);
    const { get } = Object.getOwnPropertyDescriptor(base, name);
    if (emitters !== undefined) methods[name] = emitters;
    else if (get !== undefined) methods[name] = { value: undefined, writable: true, configurable: true };
  }
  return Object.create(derived, methods);
}

module.exports = { foreignPool, isForeign };
