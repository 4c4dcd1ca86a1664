// Whether the machine stood still. Heartbeats of half a second do not survive that, and it is no fault of either side:
// a case that failed while it happened is tried again.

import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "./wire.mjs";

/** A fraction of the server's ping timeout, milliseconds. */
const STALL = 40;

export class Pulse {
  #stalled = -Infinity;
  #ended = false;

  /** Asks the server for what is not there, all the time. */
  constructor(url) {
    this.#beat(`${url}/pulse`);
  }

  async #beat(url) {
    while (!this.#ended) {
      const began = performance.now();
      await ask(url).catch(() => {});
      await sleep(10);
      if (performance.now() - began > STALL) this.#stalled = performance.now();
    }
  }

  /** Whether this program or the server has been late since then (of `performance.now()`). */
  stalledSince(time) {
    return this.#stalled >= time;
  }

  end() {
    this.#ended = true;
  }
}
