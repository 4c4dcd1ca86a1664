// Engine.IO by hand: raw requests and frames, as a client that keeps to the protocol would send them, or would not.

import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { createRequire } from "node:module";
import { within } from "./cases.mjs";

const require = createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url);
const { WebSocket } = require("ws");

/** No answer takes longer. */
export const PATIENCE = 10_000;

/** Starts a request: `answer` is its answer, `abort` gives it up, `send` is for a body that comes in parts. */
export function begin(url, { method = "GET", headers = {}, body } = {}) {
  const agent = new Agent({ keepAlive: false });
  const sent = request(url, { method, headers, agent });
  const answer = new Promise((resolve, reject) => {
    sent.on("error", reject);
    sent.once("response", (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, bytes, text: bytes.toString() });
      });
    });
  });
  const timely = within(answer, PATIENCE, `${method} ${url}`);
  // Some requests are begun to be given up.
  timely.catch(() => {});
  if (body !== null) sent.end(body);
  return {
    answer: timely,
    abort: () => sent.destroy(),
    send: (part) => sent.write(part),
    finish: (part) => sent.end(part),
  };
}

/** One request and its answer. */
export const ask = (url, options) => begin(url, options).answer;

/** The answer to a request that may be cut off instead of being answered. */
export const askOrCut = (url, options) => ask(url, options).catch((error) => ({ cut: error.code ?? error.message }));

/** A WebSocket with its frames in a queue. */
export class Socket {
  frames = [];
  ended = null;
  #wake = () => {};

  constructor(url, options = {}) {
    this.ws = new WebSocket(url.replace(/^http/, "ws"), { perMessageDeflate: false, ...options });
    this.opened = new Promise((resolve) => {
      this.ws.once("open", () => resolve({ status: 101 }));
      this.ws.once("unexpected-response", (_, response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode, headers: response.headers, text });
          this.#end({ code: 1006 });
        });
      });
      this.ws.once("error", (error) => resolve({ error: error.message }));
    });
    this.ws.on("message", (data, binary) => {
      this.frames.push(binary ? data : data.toString());
      this.#wake();
    });
    this.ws.once("close", (code, reason) => this.#end({ code, reason: reason.toString() }));
    this.ws.on("error", () => {});
  }

  #end(how) {
    this.ended ??= how;
    this.#wake();
  }

  send(frame) {
    this.ws.send(frame);
  }

  /** The next frame: a string, or a Buffer. */
  async next(patience = PATIENCE) {
    const end = Date.now() + patience;
    while (this.frames.length === 0) {
      if (this.ended) throw new Error(`closed (${this.ended.code}) instead of a frame`);
      const left = end - Date.now();
      if (left <= 0) throw new Error(`no frame within ${patience} ms`);
      await this.#change(left);
    }
    return this.frames.shift();
  }

  /** Waits for the end; what came before it is left in `frames`. */
  async closed(patience = PATIENCE) {
    const end = Date.now() + patience;
    while (!this.ended) {
      const left = end - Date.now();
      if (left <= 0) throw new Error(`not closed within ${patience} ms; came: ${JSON.stringify(this.frames)}`);
      await this.#change(left);
    }
    return this.ended;
  }

  #change(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  close() {
    this.ws.close();
    return this.closed();
  }

  cut() {
    this.ws.terminate();
  }
}

/** A payload of version 4 as its packets; a binary one is a Buffer. */
export function split4(text) {
  return text.split("\x1e").map((packet) => (packet[0] === "b" ? Buffer.from(packet.slice(1), "base64") : packet));
}

/** A payload of version 3, text or octets, as its packets; a binary message is a Buffer. */
export function split3(bytes) {
  const packets = [];
  if (bytes[0] <= 1) {
    for (let at = 0; at < bytes.length; ) {
      const text = bytes[at] === 0;
      const end = bytes.indexOf(0xff, at);
      assert.ok(end > at, "a length without its end");
      const length = Number([...bytes.subarray(at + 1, end)].join(""));
      const packet = bytes.subarray(end + 1, end + 1 + length);
      packets.push(text ? packet.toString() : packet[0] === 4 ? packet.subarray(1) : packet);
      at = end + 1 + length;
    }
    return packets;
  }
  // Lengths are in UTF-16 code units, as JavaScript's own.
  for (let text = bytes.toString(); text !== ""; ) {
    const colon = text.indexOf(":");
    const length = Number(text.slice(0, colon));
    assert.ok(Number.isInteger(length), `no length: ${text.slice(0, 40)}`);
    const packet = text.slice(colon + 1, colon + 1 + length);
    assert.equal(packet.length, length, "a packet shorter than its length");
    packets.push(packet[0] === "b" ? Buffer.from(packet.slice(2), "base64") : packet);
    text = text.slice(colon + 1 + length);
  }
  return packets;
}

/** Packets as a text payload of version 3. */
export const join3 = (...packets) => packets.map((packet) => `${packet.length}:${packet}`).join("");

/** A session on long-polling. */
export class Polling {
  waiting = [];

  constructor(base, path, version, query) {
    this.version = version;
    this.url = `${base}${path}?EIO=${version}&transport=polling${query}`;
  }

  /** A handshake. */
  static async open(base, path, { version = 4, query = "", headers } = {}) {
    const session = new Polling(base, path, version, query);
    session.answer = await ask(session.url, { headers });
    assert.equal(session.answer.status, 200, session.answer.text);
    const [open, ...rest] = session.packets(session.answer);
    assert.equal(open[0], "0");
    session.open = JSON.parse(open.slice(1));
    session.waiting = rest;
    session.url += `&sid=${session.open.sid}`;
    session.socketUrl = session.url.replace("transport=polling", "transport=websocket");
    return session;
  }

  packets({ bytes, text }) {
    return this.version === 4 ? split4(text) : split3(bytes);
  }

  get(options) {
    return ask(this.url, options);
  }

  post(body, headers = { "content-type": "text/plain;charset=UTF-8" }) {
    return ask(this.url, { method: "POST", body, headers });
  }

  /** Posts what must be taken. */
  async say(...packets) {
    const body = this.version === 4 ? packets.join("\x1e") : join3(...packets);
    const { status, text } = await this.post(body);
    assert.deepEqual([status, text], [200, "ok"]);
  }

  /** The next packet but for heartbeats, which are answered. */
  async next() {
    for (;;) {
      while (this.waiting.length === 0) {
        const answer = await this.get();
        assert.equal(answer.status, 200, answer.text);
        this.waiting = this.packets(answer);
      }
      const packet = this.waiting.shift();
      if (packet === "2" && this.version === 4) await this.say("3");
      else if (packet !== "6") return packet;
    }
  }

  async take(count) {
    const packets = [];
    while (packets.length < count) packets.push(await this.next());
    return packets;
  }

  /** The session is over: its next requests are refused. */
  async over() {
    const { status, text } = await this.get();
    assert.equal(status, 400, text);
    assert.equal(JSON.parse(text).code, 1, text);
  }

  async probe() {
    const socket = new Socket(this.socketUrl);
    await socket.opened;
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    return socket;
  }
}

/** A session on a WebSocket; heartbeats are answered and not shown. In version 3 it `beats` by itself if it is told to. */
export class Direct {
  constructor(base, path, { version = 4, query = "", beats = false, ...options } = {}) {
    this.version = version;
    this.beats = beats && version === 3;
    this.socket = new Socket(`${base}${path}?EIO=${version}&transport=websocket${query}`, options);
  }

  static async open(base, path, options) {
    const session = new Direct(base, path, options);
    const opened = await session.socket.opened;
    assert.equal(opened.status, 101, JSON.stringify(opened));
    const open = await session.socket.next();
    assert.equal(open[0], "0");
    session.open = JSON.parse(open.slice(1));
    if (session.beats) {
      const timer = setInterval(() => (session.socket.ended ? clearInterval(timer) : session.send("2")), 100);
    }
    return session;
  }

  send(frame) {
    this.socket.send(frame);
  }

  async next() {
    for (;;) {
      const frame = await this.socket.next();
      if (frame === "2" && this.version === 4) this.send("3");
      else if (frame !== "3" || !this.beats) return frame;
    }
  }

  async take(count) {
    const frames = [];
    while (frames.length < count) frames.push(await this.next());
    return frames;
  }

  closed(patience) {
    return this.socket.closed(patience);
  }

  close() {
    return this.socket.close();
  }
}
