'use strict';

// A pool of clients of another package: they open their connections themselves, so the pool is pg-pool's
// own. It remains an instance of our classes, and what a derived class overrides stays overridden.

const { EventEmitter } = require('node:events');
const PgPool = require('pg-pool');

const constructors = new WeakMap();

/** Whether clients of this class are none of ours. */
function isForeign(ClientClass, Client) {
  return ClientClass !== Client && !(ClientClass.prototype instanceof Client);
}

/**
 * @param Derived the class that was asked for with `new`
 * @param Base our Pool, whose methods do not apply
 */
function foreignPool(options, ClientClass, Derived, Base) {
  let constructor = constructors.get(Derived);
  if (constructor === undefined) {
    constructor = function () {};
    constructor.prototype = layered(Derived.prototype, Base.prototype);
    constructors.set(Derived, constructor);
  }
  return Reflect.construct(PgPool, [options, ClientClass], constructor);
}

function layered(derived, base) {
  const methods = Object.getOwnPropertyDescriptors(PgPool.prototype);
  delete methods.constructor;
  for (let layer = derived; layer !== base && layer !== null; layer = Object.getPrototypeOf(layer)) {
    for (const name of Object.getOwnPropertyNames(layer)) delete methods[name];
  }
  // What our class defines anew: pg-pool has the methods from EventEmitter, and plain properties for what
  // we compute.
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
