// One face for the clients of three major versions: what differs between them is here.

import { createRequire } from "node:module";
import { within } from "./cases.mjs";

// Version 2 of the client would take it instead of `ws`, and Node's, closed while it connects, reports that without end.
delete globalThis.WebSocket;

const require = createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url);
const PATIENCE = 15_000;

/** A version of the client on these transports. */
export function loads(version, transports) {
  const io = require(`sio-${version}`);
  const major = Number(version.split(".")[0]);
  const options = { transports, reconnectionDelay: 20, reconnectionDelayMax: 100, timeout: PATIENCE };
  return {
    version: major,
    open: (url, auth, more = {}) => {
      // Version 2 has its credentials in the query, which it writes into the namespace, too.
      const credentials = major >= 3 ? { auth } : { query: auth };
      return new Client(io(url, { ...options, forceNew: true, ...credentials, ...more }), major);
    },
    manager: (url, query) => {
      const manager = new io.Manager(url, { ...options, ...(major >= 3 ? {} : { query }) });
      return {
        open: (namespace, auth) => {
          const socket = manager.socket(namespace, major >= 3 ? { auth } : { query: auth });
          socket.open();
          return new Client(socket, major);
        },
      };
    },
  };
}

/** A client that has connected. */
export async function connectedClient(client, url, auth) {
  const opened = client.open(url, auth);
  await within(opened.opened, PATIENCE, "connecting");
  return opened;
}

/** A socket, with its events in queues. */
export class Client {
  #queues = new Map();
  #waiting = new Set();
  answers = () => [];

  constructor(socket, major) {
    this.socket = socket;
    this.major = major;
    this.opened = new Promise((resolve) => socket.once("connect", resolve));
    this.left = new Promise((resolve) => socket.once("disconnect", resolve));
    this.refused = new Promise((resolve) => socket.once(major >= 3 ? "connect_error" : "error", resolve));
    for (const name of ["auth", "message-back", "answer-was"]) {
      socket.on(name, (...args) => this.#queue(name).give(args));
    }
    socket.on("disconnect", (reason) => {
      for (const fail of this.#waiting) fail(new Error(`disconnected: ${reason}`));
    });
    socket.on("question", (...args) => args.pop()(...this.answers(...args)));
  }

  #queue(name) {
    if (!this.#queues.has(name)) this.#queues.set(name, new Queue());
    return this.#queues.get(name);
  }

  get connected() {
    return this.socket.connected;
  }

  get transport() {
    return this.socket.io.engine?.transport?.name;
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args);
  }

  /** The arguments of the next event of this name. */
  event(name) {
    return this.#connected(this.#queue(name).take(), `the event ${name}`);
  }

  /** What a promise gives, or a failure at once when the connection ends meanwhile. */
  async #connected(promise, what) {
    let lost;
    const disconnected = new Promise((_, reject) => this.#waiting.add((lost = reject)));
    try {
      return await within(Promise.race([promise, disconnected]), PATIENCE, what);
    } finally {
      this.#waiting.delete(lost);
    }
  }

  /** Emits and waits for the ack's arguments. */
  ask(name, ...args) {
    const answer = new Promise((resolve) => this.socket.emit(name, ...args, (...answer) => resolve(answer)));
    return this.#connected(answer, `the ack of ${name}`);
  }

  /** The next time that it connects. */
  again() {
    return new Promise((resolve) => this.socket.once("connect", resolve));
  }

  end() {
    this.socket.disconnect();
    // The manager would keep on trying otherwise.
    this.socket.io.reconnection?.(false);
  }
}

class Queue {
  values = [];
  takers = [];

  give(value) {
    const taker = this.takers.shift();
    if (taker) taker(value);
    else this.values.push(value);
  }

  take() {
    if (this.values.length > 0) return Promise.resolve(this.values.shift());
    return new Promise((resolve) => this.takers.push(resolve));
  }
}
