// The messaging API in real time, as its clients use it: every event, whichever way a message came in.
//
//     SECRET=… node messaging.mjs http://127.0.0.1:8080 | -- COMMAND with {port}
//
// SECRET signs the tokens of users who are made for each case. OFFLINE_WITHIN: seconds until a user who left must be offline
// (7). EXPIRY=1: the server allows no leeway behind a token's end. CLIENTS: which versions, with commas.

import assert from "node:assert/strict";
import { runAll, test, until, within } from "./cases.mjs";
import { Session, client, rest, someone, token } from "./people.mjs";
import { Serving } from "./serving.mjs";

const serving = await Serving.from(process.argv.slice(2), "SECRET=… node messaging.mjs");
const API = "/api/v1";
const OFFLINE_WITHIN = 1000 * Number(process.env.OFFLINE_WITHIN ?? 7);
const VERSIONS = (process.env.CLIENTS ?? "4.8.4,4.8.1,3.1.3,2.5.0").split(",");
const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const call = (user, method, path, body, status) => rest(serving.url, user, method, API + path, body, status);
const direct = (one, other) => call(one, "POST", "/conversations", { participantIds: [other], conversationType: "direct" });
const group = (one, ...others) => call(one, "POST", "/conversations", {
  participantIds: others, conversationType: "group", conversationName: "Team",
});

for (const version of VERSIONS) {
  const transports = version === "4.8.4" || version === "2.5.0" ? TRANSPORTS : { upgrade: TRANSPORTS.upgrade };
  for (const [name, list] of Object.entries(transports)) everything(`${version} ${name}`, client(version), list);
}

function everything(title, library, transports) {
  const named = (name, body) => test(`${title}: ${name}`, body);
  const credentials = (token) => (library.major >= 3 ? { auth: { token } } : { query: { token } });
  const raw = (options) => new Session(library, serving.url, { path: "/socket.io", transports, ...options });
  const enter = (user, seconds) => raw(credentials(token(user, seconds))).connected();
  /** Two sessions of each, one of a stranger, in a direct conversation of the first two. */
  async function scene() {
    const [ann, bob, eve] = ["ann", "bob", "eve"].map(someone);
    const { id } = await direct(ann, bob);
    const sessions = await Promise.all([ann, ann, bob, bob, eve].map((user) => enter(user)));
    return { ann, bob, eve, id, sessions, members: sessions.slice(0, 4), stranger: sessions[4] };
  }
  /** All that was said before has arrived everywhere when this message has. */
  async function fence({ ann, id, members, stranger }) {
    const { id: last } = await call(ann, "POST", "/messages", { conversationId: id, content: "fence" });
    await Promise.all(members.map((session) => session.hears("message:new", (message) => message.id === last)));
    assert.deepEqual(stranger?.all("message:new") ?? [], []);
  }
  const end = ({ sessions }) => sessions.forEach((session) => session.leave());
  const once = (members, name, fits) => {
    for (const session of members) assert.equal(session.all(name, fits).length, 1, `${name} once in ${JSON.stringify(session.told)}`);
  };
  const refusal = (ack, status) => {
    assert.deepEqual(Object.keys(ack).sort(), ["error", "message", "statusCode", "success"]);
    assert.deepEqual([ack.success, ack.statusCode], [false, status], JSON.stringify(ack));
  };

  named("a token by auth, by query, by header", async () => {
    const user = someone("ann");
    const ways = [{ query: { token: token(user) } }];
    if (library.major >= 3) ways.push({ auth: { token: token(user) } });
    const extraHeaders = { Authorization: `Bearer ${token(user)}` };
    ways.push(library.major >= 3 ? { extraHeaders } : {
      transportOptions: { polling: { extraHeaders }, websocket: { extraHeaders } },
    });
    for (const way of ways) (await raw(way).connected()).leave();
  });
  named("no token, a bad one, one that has ended", async () => {
    const user = someone("ann");
    const cases = [
      [{}, "Authentication token is required"],
      [credentials("rubbish"), "Invalid or expired token"],
      [credentials(token(user, 600, "another secret, not the server's one")), "Invalid or expired token"],
      [credentials(token(user, -600)), "Invalid or expired token"],
    ];
    for (const [options, message] of cases) {
      const session = raw(options);
      const error = await session.refused();
      const data = { error: "Unauthorized", message, statusCode: 401 };
      if (library.major >= 3) {
        assert.equal(error.message, message);
        assert.deepEqual(error.data, data);
      } else {
        assert.deepEqual(error, data);
      }
      session.leave();
    }
  });
  named("message:send is acked and told once to every session of every participant", async () => {
    const all = await scene();
    const content = "Hello 😀";
    const ack = await all.members[0].ask("message:send", { conversationId: all.id, content, attachmentUrl: null, attachmentType: null });
    assert.equal(ack.success, true, JSON.stringify(ack));
    await fence(all);
    once(all.members, "message:new", (message) => message.id === ack.id);
    for (const session of all.members) {
      const [message] = session.all("message:new", ({ id }) => id === ack.id);
      const { createdAt, updatedAt, id, ...rest } = message;
      assert.match(createdAt, ISO);
      assert.match(updatedAt, ISO);
      for (const [key, value] of Object.entries({
        conversationId: all.id, senderId: all.ann, content, attachmentUrl: null, attachmentType: null, isEdited: false, isDeleted: false,
      })) assert.deepEqual(rest[key], value, key);
    }
    end(all);
  });
  named("so is one that came by REST", async () => {
    const all = await scene();
    const { id } = await call(all.bob, "POST", "/messages", {
      conversationId: all.id, content: "x", attachmentUrl: "https://files.example/a.png", attachmentType: "image",
    });
    await fence(all);
    once(all.members, "message:new", (message) => message.id === id && message.attachmentType === "image");
    end(all);
  });
  named("a message repeated under its own name is told once", async () => {
    const all = await scene();
    const message = { conversationId: all.id, content: "once", clientMessageId: someone("m") };
    const first = await all.members[0].ask("message:send", message);
    const second = await all.members[0].ask("message:send", message);
    assert.equal(first.id, second.id);
    await fence(all);
    once(all.members, "message:new", ({ id }) => id === first.id);
    end(all);
  });
  named("the same order for everybody", async () => {
    const all = await scene();
    await Promise.all(all.members.flatMap((session, n) => Array.from({ length: 10 }, (_, i) => session.ask("message:send", {
      conversationId: all.id, content: `${n}.${i}`,
    }))));
    await fence(all);
    const orders = all.members.map((session) => session.all("message:new").map(({ id }) => id));
    assert.equal(orders[0].length, 41);
    for (const order of orders) assert.deepEqual(order, orders[0]);
    end(all);
  });
  for (const way of ["socket", "REST"]) {
    named(`edited, read and deleted, by ${way}`, async () => {
      const all = await scene();
      const [first, , other] = all.members;
      const { id } = await first.ask("message:send", { conversationId: all.id, content: "before" });
      if (way === "socket") {
        assert.equal((await first.ask("message:edit", { messageId: id, content: "after" })).success, true);
        assert.equal((await other.ask("message:read", { messageId: id })).success, true);
      } else {
        await call(all.ann, "PUT", `/messages/${id}`, { content: "after" });
        await call(all.bob, "POST", `/messages/${id}/read`, undefined, 200);
      }
      await fence(all);
      for (const session of all.members) {
        const [edited] = session.all("message:edited");
        assert.deepEqual([edited.messageId, edited.content, edited.isEdited], [id, "after", true]);
        assert.match(edited.updatedAt, ISO);
        const [read] = session.all("message:read", ({ messageId }) => messageId === id);
        assert.equal(read.userId, all.bob);
        assert.match(read.readAt, ISO);
      }
      once(all.members, "message:edited");
      once(all.members, "message:read", ({ messageId }) => messageId === id);
      if (way === "socket") assert.equal((await first.ask("message:delete", { messageId: id })).success, true);
      else await call(all.ann, "DELETE", `/messages/${id}`);
      await fence(all);
      once(all.members, "message:deleted", ({ messageId }) => messageId === id);
      assert.deepEqual([all.stranger.all("message:edited"), all.stranger.all("message:deleted"), all.stranger.all("message:read")], [[], [], []]);
      end(all);
    });
  }
  named("reading twice, or deleting twice, is told once", async () => {
    const all = await scene();
    const [first, , other] = all.members;
    const { id } = await first.ask("message:send", { conversationId: all.id, content: "x" });
    for (let twice = 0; twice < 2; twice += 1) assert.equal((await other.ask("message:read", { messageId: id })).success, true);
    for (let twice = 0; twice < 2; twice += 1) assert.equal((await first.ask("message:delete", { messageId: id })).success, true);
    await fence(all);
    once(all.members, "message:read", ({ messageId }) => messageId === id);
    once(all.members, "message:deleted");
    end(all);
  });
  named("all read at once", async () => {
    const all = await scene();
    const ids = [];
    for (let i = 0; i < 3; i += 1) ids.push((await call(all.ann, "POST", "/messages", { conversationId: all.id, content: `${i}` })).id);
    await call(all.bob, "POST", `/messages/conversation/${all.id}/read`, undefined, 200);
    for (const session of all.members) {
      const read = await session.hears("conversation:read");
      assert.deepEqual([read.conversationId, read.userId], [all.id, all.bob]);
      assert.match(read.readAt, ISO);
      for (const id of ids) assert.equal(session.all("message:read", ({ messageId }) => messageId === id).length, 1);
    }
    end(all);
  });
  named("failures are acked, or told as the event error", async () => {
    const all = await scene();
    const [session, , other] = all.members;
    const missing = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
    const { id } = await session.ask("message:send", { conversationId: all.id, content: "x" });
    const cases = [
      ["message:send", { conversationId: missing, content: "x" }, 404], ["message:send", { conversationId: "conv-uuid-123", content: "x" }, 404],
      ["message:send", { conversationId: all.id, content: "" }, 400], ["message:send", { content: "x" }, 400], ["message:send", "x", 400],
      ["message:send", { conversationId: all.id, content: 7 }, 400], ["message:send", { conversationId: all.id, content: "x".repeat(10_001) }, 400],
      ["message:edit", { messageId: "msg-uuid-456", content: "x" }, 404], ["message:edit", { content: "x" }, 400],
      ["message:delete", { messageId: missing }, 404], ["message:read", { messageId: missing }, 404], ["conversation:join", { conversationId: missing }, 404],
      ["conversation:join", {}, 400], ["typing:start", { conversationId: missing }, 404], ["nothing:known", {}, 400],
    ];
    for (const [name, body, status] of cases) refusal(await session.ask(name, body), status);
    refusal(await other.ask("message:edit", { messageId: id, content: "x" }), 403);
    refusal(await other.ask("message:delete", { messageId: id }), 403);
    for (const name of ["conversation:join", "typing:start"]) refusal(await all.stranger.ask(name, { conversationId: all.id }), 403);
    refusal(await all.stranger.ask("message:send", { conversationId: all.id, content: "x" }), 403);
    all.stranger.emit("message:send", { conversationId: all.id, content: "x" });
    const error = await all.stranger.hears("error");
    assert.deepEqual(Object.keys(error).sort(), ["error", "message", "statusCode"]);
    assert.equal(error.statusCode, 403);
    await fence(all);
    end(all);
  });
  named("conversation:join answers, and so does leave", async () => {
    const all = await scene();
    const [session] = all.members;
    const ack = await session.ask("conversation:join", { conversationId: all.id });
    assert.deepEqual([ack.success, ack.conversationId], [true, all.id]);
    assert.deepEqual(await session.hears("conversation:joined"), { conversationId: all.id });
    assert.equal(all.members[1].all("conversation:joined").length, 0);
    session.emit("conversation:join", { conversationId: all.id });
    await until(() => session.all("conversation:joined").length === 2, "the second conversation:joined");
    assert.equal((await session.ask("conversation:leave", { conversationId: all.id })).success, true);
    end(all);
  });
  named("typing is shown to the others who have joined", async () => {
    const all = await scene();
    const [ann, ann2, bob, bob2] = all.members;
    for (const session of [ann, ann2, bob]) await session.ask("conversation:join", { conversationId: all.id });
    assert.equal((await ann.ask("typing:start", { conversationId: all.id })).success, true);
    assert.deepEqual(await bob.hears("user:typing"), { userId: all.ann, conversationId: all.id });
    assert.equal((await ann.ask("typing:stop", { conversationId: all.id })).success, true);
    assert.deepEqual(await bob.hears("user:stopped-typing"), { userId: all.ann, conversationId: all.id });
    await fence(all);
    for (const session of [ann, ann2, bob2, all.stranger]) assert.deepEqual(session.all("user:typing"), []);
    await bob.ask("conversation:leave", { conversationId: all.id });
    await ann.ask("typing:start", { conversationId: all.id });
    await fence(all);
    assert.equal(bob.all("user:typing").length, 1);
    end(all);
  });
  named("who goes while typing has stopped", async () => {
    const all = await scene();
    const [ann, , bob] = all.members;
    await bob.ask("conversation:join", { conversationId: all.id });
    await ann.ask("conversation:join", { conversationId: all.id });
    ann.emit("typing:start", { conversationId: all.id });
    await bob.hears("user:typing");
    ann.leave();
    assert.deepEqual(await bob.hears("user:stopped-typing"), { userId: all.ann, conversationId: all.id });
    end(all);
  });
  named("the front end's own names", async () => {
    const all = await scene();
    const [ann, , bob] = all.members;
    for (const session of [ann, bob]) assert.equal((await session.ask("joinConversation", all.id)).success, true);
    const ack = await ann.ask("sendMessage", { conversationId: all.id, content: "hi" });
    assert.equal(ack.success, true);
    await bob.hears("message:new", ({ id }) => id === ack.id);
    ann.emit("typing", { conversationId: all.id, isTyping: true });
    await bob.hears("user:typing");
    ann.emit("typing", { conversationId: all.id, isTyping: false });
    await bob.hears("user:stopped-typing");
    const made = await ann.ask("sendMessage", { recipientId: all.eve, content: "for you" });
    assert.equal((await all.stranger.hears("message:new")).id, made.id);
    assert.equal((await ann.ask("leaveConversation", all.id)).success, true);
    end(all);
  });
  named("binary data is refused, and the connection lives", async () => {
    const all = await scene();
    const [session] = all.members;
    refusal(await session.ask("message:send", { conversationId: all.id, content: Buffer.from("x") }), 400);
    assert.equal((await session.ask("message:send", { conversationId: all.id, content: "x" })).success, true);
    end(all);
  });
  named("partners come and go; several sessions are one user", async () => {
    const [ann, bob] = ["ann", "bob"].map(someone);
    await direct(ann, bob);
    const watcher = await enter(bob);
    const list = await watcher.hears("users:online");
    assert.ok(Array.isArray(list) && !list.includes(ann));
    const [one, two] = [await enter(ann), await enter(ann)];
    await watcher.hears("user:online", (user) => user === ann);
    const late = await enter(bob);
    await late.hears("users:online", (users) => users.includes(ann));
    one.leave();
    two.leave();
    await until(() => watcher.all("user:offline", (user) => user === ann).length === 1, "user:offline", OFFLINE_WITHIN + 5000);
    assert.equal(watcher.all("user:online", (user) => user === ann).length, 1);
    const again = await enter(ann);
    await until(() => watcher.all("user:online", (user) => user === ann).length === 2, "user:online again");
    for (const session of [watcher, late, again]) session.leave();
  });
  named("members are told of their groups", async () => {
    const [ann, bob, cat] = ["ann", "bob", "cat"].map(someone);
    const [a, b, c] = [await enter(ann), await enter(bob), await enter(cat)];
    const { id } = await group(ann, bob);
    for (const session of [a, b]) assert.equal((await session.hears("conversation:created")).id, id);
    await call(bob, "PUT", `/conversations/${id}`, { conversationName: "Renamed" });
    for (const session of [a, b]) assert.equal((await session.hears("conversation:updated")).conversationName, "Renamed");
    await call(ann, "POST", `/conversations/${id}/participants`, { userId: cat });
    for (const session of [a, b]) await session.hears("conversation:participant-added");
    const { id: said } = await call(ann, "POST", "/messages", { conversationId: id, content: "welcome" });
    await c.hears("message:new", (message) => message.id === said);
    await call(ann, "DELETE", `/conversations/${id}/participants/${cat}`);
    for (const session of [a, b]) await session.hears("conversation:participant-removed");
    await call(ann, "POST", "/messages", { conversationId: id, content: "without cat" });
    await b.hears("message:new", ({ content }) => content === "without cat");
    assert.deepEqual(c.all("message:new", ({ content }) => content === "without cat"), []);
    await call(ann, "DELETE", `/conversations/${id}`);
    for (const session of [a, b]) await session.hears("conversation:deleted");
    for (const session of [a, b, c]) session.leave();
  });
  named("who was away catches up by REST without a gap", async () => {
    const all = await scene();
    const [, , bob] = all.members;
    const { id: seen } = await call(all.ann, "POST", "/messages", { conversationId: all.id, content: "seen" });
    await bob.hears("message:new", ({ id }) => id === seen);
    bob.leave();
    const missed = [];
    for (let i = 0; i < 7; i += 1) missed.push((await call(all.ann, "POST", "/messages", { conversationId: all.id, content: `${i}` })).id);
    const back = await enter(all.bob);
    const { id: live } = await call(all.ann, "POST", "/messages", { conversationId: all.id, content: "live" });
    await back.hears("message:new", ({ id }) => id === live);
    // From the newest backwards, until a message that is known.
    const found = [];
    for (let before = "", more = true; more && !found.includes(seen); ) {
      const page = await call(all.bob, "GET", `/messages/conversation/${all.id}?limit=3${before}`);
      found.push(...page.messages.map(({ id }) => id));
      [before, more] = [`&before=${page.nextBefore}`, page.hasMore];
    }
    for (const id of [seen, ...missed, live]) assert.equal(found.filter((other) => other === id).length, 1);
    back.leave();
    end(all);
  });
  if (process.env.EXPIRY) {
    named("a token that ends is told, and disconnects until there is a new one", async () => {
      const user = someone("ann");
      const session = await enter(user, 3);
      assert.equal((await session.hears("error")).statusCode, 401);
      assert.equal(await session.ends(), "io server disconnect");
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(session.socket.connected, false);
      const back = new Promise((resolve) => session.socket.once("connect", resolve));
      if (library.major >= 3) session.socket.auth = { token: token(user) };
      else session.socket.io.opts.query = { token: token(user) };
      session.socket.connect();
      await within(back, 15_000, "coming back with a new token");
      assert.equal((await session.ask("nothing:known")).statusCode, 400);
      session.leave();
    });
  }
}

const code = await runAll({ together: 3, limit: 60_000 });
await serving.end();
process.exit(code);
