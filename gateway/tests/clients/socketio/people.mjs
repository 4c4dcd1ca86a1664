// Users of the messaging APIs: tokens, REST calls, and sockets that write down what they are told.

import assert from "node:assert/strict";
import { createHmac, randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { until, within } from "./cases.mjs";

// Version 2 of the client would take it instead of `ws`, and it sends no headers.
delete globalThis.WebSocket;

const require = createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url);
const PATIENCE = 15_000;

/** An HS256 token that ends so many seconds from now. */
export function token(user, seconds = 600, secret = process.env.SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: user, exp: Math.floor(Date.now() / 1000) + seconds })}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/** A user of one case: nobody else has the name. */
export const someone = (name) => `${name}-${randomUUID().slice(0, 8)}`;

/** A REST call with the status that is expected; its body. */
export async function rest(base, user, method, path, body, status = { POST: 201 }[method] ?? 200) {
  const headers = { authorization: `Bearer ${token(user)}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, status, `${method} ${path}: ${text}`);
  return text === "" ? null : JSON.parse(text);
}

/** Loads a version of the client. */
export const client = (version) => ({ io: require(`sio-${version}`), major: Number(version.split(".")[0]) });

/** A socket of a user; `told` has all events in the order in which they came. */
export class Session {
  told = [];
  ended = null;

  constructor({ io, major }, url, options) {
    this.major = major;
    this.socket = io(url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
    const heard = (name, args) => this.told.push({ name, args });
    if (major >= 3) this.socket.onAny((name, ...args) => heard(name, args));
    else {
      // Version 2 has no ear for all names.
      const { onevent } = this.socket;
      this.socket.onevent = (packet) => {
        const [name, ...args] = packet.data;
        heard(name, args);
        onevent.call(this.socket, packet);
      };
    }
    this.opened = new Promise((resolve, reject) => {
      this.socket.once("connect", resolve);
      this.socket.once(major >= 3 ? "connect_error" : "error", (error) => reject(error));
    });
    this.opened.catch(() => {});
    this.socket.on("disconnect", (reason) => (this.ended = reason));
  }

  async connected() {
    await within(this.opened, PATIENCE, "connecting");
    return this;
  }

  /** Why it was refused. */
  async refused() {
    const outcome = await within(this.opened.then(() => "connected", (error) => ({ error })), PATIENCE, "the refusal");
    assert.notEqual(outcome, "connected");
    return outcome.error;
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args);
  }

  /** Emits and waits for the ack's argument. */
  ask(name, ...args) {
    const ack = new Promise((resolve) => this.socket.emit(name, ...args, resolve));
    return within(ack, PATIENCE, `the ack of ${name}`);
  }

  /** All that came under this name, and fits. */
  all(name, fits = () => true) {
    return this.told.filter((event) => event.name === name && fits(...event.args)).map(({ args }) => args[0]);
  }

  /** Waits for an event of this name that fits; its first argument. */
  async hears(name, fits = () => true) {
    await until(() => this.all(name, fits).length > 0, () => `${name}; came: ${JSON.stringify(this.told).slice(0, 1500)}`, PATIENCE);
    return this.all(name, fits)[0];
  }

  async ends() {
    await until(() => this.ended !== null, "the end of the connection", PATIENCE);
    return this.ended;
  }

  leave() {
    this.socket.disconnect();
  }
}
