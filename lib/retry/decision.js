'use strict';

// Requests that wait for a moment, which the core tells: no timer of ours.

const { hub } = require('../native/bridge');

/** Whether a failed run begins again: undefined when its time has come, else the refusal. */
class Verdict {
  constructor() {
    this.id = 0;
    this.counted = true;
    this.resolve = undefined;
  }

  of(native, run) {
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      hub().admit(this);
      try {
        native.again(this.id, JSON.stringify(run));
      } catch (error) {
        hub().settle(this.id);
        reject(error);
      }
    });
  }

  takeDone() {
    this.resolve(undefined);
  }

  takeFailure(refusal) {
    this.resolve(refusal);
  }
}

/** Rings after so many milliseconds, unless it is stopped. */
class Alarm {
  constructor(native, millis) {
    this.id = 0;
    this.counted = true;
    this.native = native;
    this.rung = new Promise((resolve) => {
      this.takeDone = resolve;
    });
    hub().admit(this);
    native.rest(this.id, millis);
  }

  takeFailure() {}

  stop() {
    if (this.id !== 0) this.native.cancel(this.id);
  }
}

module.exports = { Alarm, Verdict };
