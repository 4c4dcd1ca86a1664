// Both APIs over a restart of their server, once by a signal that it can heed and once by one that it cannot: clients come
// back by themselves, are told what happens from then on, and read what they missed, without a gap and nothing twice.
//
//     SECRET=… node restarts.mjs -- COMMAND with {port}
//
// SECRET signs the tokens of users who are made for each case. All clients go through a restart at the same time. CLIENTS: which
// versions, with commas.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { until, within } from "./cases.mjs";
import { Session, client, someone, token } from "./people.mjs";
import { Serving } from "./serving.mjs";

const serving = await Serving.from(process.argv.slice(2), "SECRET=… node restarts.mjs");
const ROOMS = "/v1/conversations";
const PATIENCE = 60_000;
const LISTS = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };
const SIGNALS = ["SIGTERM", "SIGKILL"];
/** What is said before the server goes, at least, and after everybody is back. */
const SAID = 20;

const chosen = (versions) => (process.env.CLIENTS ?? versions).split(",").filter((version) => versions.split(",").includes(version));

/** A call that is made until it is answered, as by a client that does not know whether it was heard. */
async function call(user, method, path, body, headers = {}) {
  for (const end = Date.now() + PATIENCE; ; ) {
    try {
      const answer = await fetch(serving.url + path, {
        method, headers: { authorization: `Bearer ${token(user)}`, "content-type": "application/json", ...headers }, body: body && JSON.stringify(body),
      });
      const text = await answer.text();
      if (answer.status < 300) return JSON.parse(text);
      assert.ok(answer.status >= 500, `${method} ${path}: ${answer.status} ${text}`);
    } catch (error) {
      if (error instanceof assert.AssertionError || Date.now() > end) throw error;
    }
    await sleep(25);
  }
}

/** Somebody of the messaging API, who has conversations and keeps them by the recipe of its documentation. */
class Messenger {
  static versions = chosen("4.8.4,4.8.1,3.1.3,2.5.0");
  static lists = LISTS;
  messages = new Map();
  twice = [];
  mark = null;

  constructor(library, transports) {
    [this.user, this.partner] = ["ann", "bob"].map(someone);
    this.library = library;
    this.transports = transports;
  }

  async begin() {
    const body = { participantIds: [this.partner], conversationType: "direct" };
    ({ id: this.id } = await call(this.user, "POST", "/api/v1/conversations", body));
    this.session = this.open(this.user, this.library);
    this.other = this.open(this.partner, client("4.8.4"), ["websocket"]);
    this.session.socket.on("disconnect", () => this.lost());
    this.session.socket.on("message:new", (message) => this.told(message));
    this.session.socket.on("message:edited", ({ messageId, content, updatedAt }) => this.take({ ...this.messages.get(messageId), id: messageId, content, updatedAt }));
    await Promise.all([this.session, this.other].map((session) => session.connected()));
    await this.session.hears("users:online");
  }

  open(user, library, transports = this.transports) {
    const credentials = library.major >= 3 ? { auth: (give) => give({ token: token(user) }) } : { query: { token: token(user) } };
    return new Session(library, serving.url, { path: "/socket.io", transports, ...credentials });
  }

  say(number) {
    const body = { conversationId: this.id, content: `${number}` };
    return call(this.partner, "POST", "/api/v1/messages", body, { "idempotency-key": `${this.id}-${number}` });
  }

  change(id, content) {
    return call(this.partner, "PUT", `/api/v1/messages/${id}`, { content });
  }

  /** The first step: what was the newest when the connection was lost. */
  lost() {
    this.mark ??= [...this.messages.values()].map(({ createdAt }) => createdAt).sort().at(-1) ?? "";
    this.live = new Set();
  }

  live = new Set();

  told(message) {
    if (this.live.has(message.id)) this.twice.push(message.content);
    this.live.add(message.id);
    this.take(message);
  }

  take(message) {
    const known = this.messages.get(message.id);
    if (!known || known.updatedAt <= message.updatedAt) this.messages.set(message.id, message);
  }

  /** The other steps, once the socket is there again. */
  async catchUp() {
    const conversations = await call(this.user, "GET", "/api/v1/conversations");
    for (const { id, updatedAt } of conversations) {
      if (updatedAt <= this.mark) continue;
      for (let before = ""; before !== null; ) {
        const page = await call(this.user, "GET", `/api/v1/messages/conversation/${id}?limit=7${before}`);
        page.messages.forEach((message) => this.take(message));
        before = page.nextBefore !== null && page.nextBefore > this.mark ? `&before=${page.nextBefore}` : null;
      }
    }
    this.mark = null;
  }

  contents() {
    const order = [...this.messages.values()].sort((one, other) => (one.createdAt < other.createdAt ? -1 : 1));
    return order.map(({ content }) => content);
  }

  /** What a session has asked for is asked for anew; then it is told as before. */
  async lives() {
    const { session, other, id } = this;
    assert.equal((await session.ask("conversation:join", { conversationId: id })).success, true);
    other.emit("typing:start", { conversationId: id });
    await session.hears("user:typing", ({ userId }) => userId === this.partner);
    // Each connection is told who is there, or that they come.
    const since = session.told.findLastIndex(({ name }) => name === "users:online");
    assert.ok(since >= 0 && session.all("users:online").length >= 2, "users:online after the return");
    const online = () => session.told.slice(since).some(({ name, args: [who] }) =>
      (name === "users:online" && who.includes(this.partner)) || (name === "user:online" && who === this.partner));
    await until(online, "that the partner is online", PATIENCE);
  }
}

/** A buyer of the buyer/seller API. */
class Buyer {
  static versions = chosen("2.3.1,2.5.0,4.8.4");
  static lists = { websocket: LISTS.websocket };
  messages = new Map();
  twice = [];

  constructor(library) {
    [this.user, this.partner] = ["buyer", "seller"].map(someone);
    this.id = `${this.user}.${this.partner}`;
    this.library = library;
  }

  async begin() {
    await call(this.user, "POST", `${ROOMS}/rooms`, { type: "BS", buyer: this.user, seller: this.partner, shop_id: "7", creator: this.user });
    this.session = this.open(this.user, "BUYER", this.library);
    this.other = this.open(this.partner, "SELLER", client("4.8.4"));
    this.session.socket.on("disconnect", () => (this.live = new Set()));
    this.session.socket.on("new_message", (message) => this.told(message));
    await Promise.all([this.session, this.other].map((session) => session.connected()));
    await this.session.hears("active_user_list");
  }

  open(user, user_role, library) {
    return new Session(library, serving.url + `${ROOMS}/events`, {
      path: `${ROOMS}/sockets`, transports: ["websocket"], query: { token: token(user), user_id: user, user_role },
    });
  }

  say(number) {
    const client_message_id = `${number}`;
    const body = { room_id: this.id, from: this.partner, to: this.user, type: "TEXT", content: `${number}`, client_message_id };
    return call(this.partner, "POST", `${ROOMS}/messages`, body).then(({ _id }) => ({ id: _id }));
  }

  change(id, content) {
    return call(this.partner, "PUT", `${ROOMS}/messages/${id}`, { content });
  }

  live = new Set();

  told(message) {
    if (this.live.has(message._id)) this.twice.push(message.content);
    this.live.add(message._id);
    if (!this.messages.has(message._id)) this.messages.set(message._id, message);
  }

  /** From the last message before the connection was lost, forwards. */
  async catchUp() {
    const order = [...this.messages.values()].map(({ created_at }) => created_at).sort();
    const known = order.filter((at) => at <= this.mark);
    for (let to = known.at(-1) ?? new Date(0).toISOString(), more = true; more; ) {
      const { data, filters } = await call(this.user, "GET", `${ROOMS}/messages?room_id=${this.id}&created_at=1&limit=7&to=${to}`);
      for (const message of data) this.messages.set(message._id, message);
      more = filters.message_count === 7;
      to = data.at(-1)?.created_at ?? to;
    }
  }

  /** The newest that it has. */
  lost() {
    this.mark = [...this.messages.values()].map(({ created_at }) => created_at).sort().at(-1);
  }

  contents() {
    const order = [...this.messages.values()].sort((one, other) => (one.created_at < other.created_at ? -1 : 1));
    return order.map(({ content }) => content);
  }

  async lives() {
    const { session, other } = this;
    other.emit("typing", { room_id: this.id, from: this.partner, to: this.user });
    await session.hears("typing", ({ from }) => from === this.partner);
    const since = session.told.findLastIndex(({ name, args: [list] }) => name === "active_user_list" && list.user_id === this.user);
    assert.ok(session.all("active_user_list").length >= 2, "active_user_list after the return");
    const online = () => session.told.slice(since).some(({ name, args: [body] }) =>
      (name === "active_user_list" && body.rooms.some(({ status }) => status)) || (name === "user_status_change" && body.status));
    await until(online, "that the seller is online", PATIENCE);
  }
}

const all = [Messenger, Buyer].flatMap((Kind) => Kind.versions.flatMap((version) =>
  Object.entries(Kind.lists).map(([list, transports]) => ({ Kind, version, list, transports }))));

let failed = 0;
for (const signal of SIGNALS) {
  const people = all.map(({ Kind, version, transports }) => new Kind(client(version), transports));
  await Promise.all(people.map((person) => person.begin()));
  const backs = people.map(({ session }) => new Promise((resolve) => session.socket.on("connect", resolve)));
  // Numbers are said all the time, one after the other in each conversation, until everybody has come back.
  let saying = true;
  const writers = people.map(async (person) => {
    let number = 0;
    for (let after = SAID; after > 0; number += 1) {
      person.last = await person.say(number);
      person.said = number + 1;
      if (!saying) after -= 1;
      await sleep(10);
    }
    // Changed when it was said, the message is told or read as it is now.
    await person.change(person.last.id, `${number - 1}, changed`);
    return number;
  });
  await until(() => people.every(({ said }) => said >= SAID), "the first numbers", PATIENCE);
  people.forEach((person) => person.session.socket.once("disconnect", () => person.lost()));
  await serving.restart(signal);
  const results = await Promise.allSettled(people.map(async (person, n) => {
    await within(backs[n], PATIENCE, "coming back");
    await person.catchUp();
  }));
  saying = false;
  const counts = await Promise.all(writers);
  for (const [n, person] of people.entries()) {
    const { Kind, version, list } = all[n];
    const line = `${Kind.name} ${version} ${list}: nothing is lost or told twice over a restart by ${signal}`;
    try {
      if (results[n].status === "rejected") throw results[n].reason;
      const wanted = Array.from({ length: counts[n] }, (_, number) => `${number}`);
      if (Kind === Messenger) wanted[counts[n] - 1] += ", changed";
      await until(() => person.contents().at(-1) === wanted.at(-1), () => `the last number; came ${person.contents().slice(-3)}`, PATIENCE);
      assert.deepEqual(person.contents(), wanted);
      assert.deepEqual(person.twice, []);
      await person.lives();
      assert.ok(["transport close", "transport error"].includes(person.session.ended), person.session.ended);
      console.log(`ok ${line} (${counts[n]} numbers)`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${line}: ${error.message.replace(/\s*\n\s*/g, " ").slice(0, 1000)}`);
    }
    person.session.leave();
    person.other.leave();
  }
}
console.log(failed === 0 ? "all passed" : `${failed} failed`);
await serving.end();
process.exit(failed === 0 ? 0 : 1);
