'use strict';

// Requests that the core has yet to answer, by id. An id is not given out again before all others were, so that
// neither a late record nor a cancel that is still under way meets another request than its own.
//
// A slot is an id's remainder by the number of slots, a power of two. The table grows before half of them are taken.

const FIRST_SLOTS = 64;
// Ids are small integers of V8, and 0 is no id.
const LAST_ID = 0x3fffffff;

/** @typedef {import('./bridge').Request} Request */

class RequestTable {
  constructor() {
    /** @type {(Request|undefined)[]} */
    this.slots = new Array(FIRST_SLOTS).fill(undefined);
    this.ids = new Array(FIRST_SLOTS).fill(0);
    this.size = 0;
    this.lastId = 0;
  }

  /**
   * The id that the request has from now on.
   * @param {Request} request
   */
  add(request) {
    if (2 * this.size >= this.slots.length) this.grow();
    const mask = this.slots.length - 1;
    let id = this.lastId;
    do id = id === LAST_ID ? 1 : id + 1;
    while (this.slots[id & mask] !== undefined);
    this.lastId = id;
    this.slots[id & mask] = request;
    this.ids[id & mask] = id;
    this.size++;
    return id;
  }

  get(id) {
    const slot = id & (this.slots.length - 1);
    return this.ids[slot] === id ? this.slots[slot] : undefined;
  }

  /** Takes a request out; undefined: it is not there any more. */
  take(id) {
    const slot = id & (this.slots.length - 1);
    const request = this.slots[slot];
    if (request === undefined || this.ids[slot] !== id) return undefined;
    this.slots[slot] = undefined;
    this.size--;
    return request;
  }

  /** All requests, in no order. */
  all() {
    return this.slots.filter((request) => request !== undefined);
  }

  grow() {
    const { slots, ids } = this;
    const length = 2 * slots.length;
    this.slots = new Array(length).fill(undefined);
    this.ids = new Array(length).fill(0);
    for (const [slot, request] of slots.entries()) {
      if (request === undefined) continue;
      this.slots[ids[slot] & (length - 1)] = request;
      this.ids[ids[slot] & (length - 1)] = ids[slot];
    }
  }
}

module.exports = { RequestTable, LAST_ID };
