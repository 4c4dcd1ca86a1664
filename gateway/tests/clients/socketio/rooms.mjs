// The buyer/seller API in real time, as its clients use it: namespace /v1/conversations/events on the path
// /v1/conversations/sockets, WebSockets only, credentials in the query.
//
//     SECRET=… node rooms.mjs http://127.0.0.1:8080 | -- COMMAND with {port}
//
// SECRET signs the tokens of users who are made for each case. OFFLINE_WITHIN: seconds until a user who left must be offline
// (7). EXPIRY=1: the server allows no leeway behind a token's end. CLIENTS: which versions, with commas.

import assert from "node:assert/strict";
import { runAll, test, until, within } from "./cases.mjs";
import { Session, client, rest, someone, token } from "./people.mjs";
import { Serving } from "./serving.mjs";
import { ask } from "./wire.mjs";

const serving = await Serving.from(process.argv.slice(2), "SECRET=… node rooms.mjs");
const BASE = "/v1/conversations";
const NAMESPACE = `${BASE}/events`;
const OFFLINE_WITHIN = 1000 * Number(process.env.OFFLINE_WITHIN ?? 7);
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

const call = (user, method, path, body, status = 200) => rest(serving.url, user, method, BASE + path, body, status);

for (const version of (process.env.CLIENTS ?? "2.3.1,2.5.0,4.8.4").split(",")) everything(version, client(version));

function everything(title, library) {
  const named = (name, body) => test(`${title}: ${name}`, body);
  const raw = (query, more = {}) => new Session(library, serving.url + NAMESPACE, {
    path: `${BASE}/sockets`, transports: ["websocket"], query, ...more,
  });
  const enter = (user, role, seconds) => raw({ token: token(user, seconds), user_id: user, user_role: role }).connected();
  /** A buyer and a seller with two sessions each, in a room; and somebody else. */
  async function scene() {
    const [buyer, seller, other] = ["buyer", "seller", "other"].map(someone);
    const room_id = `${buyer}.${seller}`;
    const made = await call(buyer, "POST", "/rooms", { type: "BS", buyer, seller, shop_id: "7", creator: buyer });
    assert.deepEqual([made.status, made.message], [true, "Created room successfully!"]);
    const sessions = await Promise.all([
      enter(buyer, "BUYER"), enter(buyer, "BUYER"), enter(seller, "SELLER"), enter(seller, "SELLER"), enter(other, "BUYER"),
    ]);
    return { buyer, seller, other, room_id, sessions, members: sessions.slice(0, 4), stranger: sessions[4] };
  }
  const end = ({ sessions }) => sessions.forEach((session) => session.leave());
  const text = ({ room_id, buyer, seller }, content, more = {}) => ({ room_id, from: buyer, to: seller, type: "TEXT", content, ...more });
  /** All that was said before has arrived everywhere when this message has. */
  async function fence(all) {
    const content = someone("fence");
    all.members[0].emit("new_message", text(all, content));
    await Promise.all(all.members.map((session) => session.hears("new_message", (message) => message.content === content)));
    assert.deepEqual(all.stranger.all("new_message"), []);
  }
  const times = (session, name, fits) => session.all(name, fits).length;

  named("connects, and hears which rooms are active", async () => {
    const user = someone("buyer");
    const session = await enter(user, "BUYER");
    assert.deepEqual(await session.hears("active_user_list"), { user_id: user, user_role: "BUYER", rooms: [] });
    session.leave();
  });
  named("refused without a token, with a bad one, as somebody else, with another role", async () => {
    const user = someone("buyer");
    const good = { token: token(user), user_id: user, user_role: "BUYER" };
    const { token: _, ...none } = good;
    for (const query of [none, { ...good, token: "rubbish" }, { ...good, token: token(user, -600) }, { ...good, user_id: "else" }, { ...good, user_role: "ADMIN" }]) {
      const session = raw(query);
      const error = await session.refused();
      assert.equal(library.major >= 3 ? error.message : error, "Authentication Error");
      session.leave();
    }
  });
  named("polling is an unknown transport here", async () => {
    const version = library.major >= 3 ? 4 : 3;
    const { status, text: body } = await ask(`${serving.url}${BASE}/sockets/?EIO=${version}&transport=polling`);
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(body), { code: 0, message: "Transport unknown" });
  });
  named("all of a user's sessions hear who is online when one connects", async () => {
    const user = someone("buyer");
    const [one, two] = [await enter(user, "BUYER"), await enter(user, "SELLER")];
    for (const session of [one, two]) {
      const list = { user_id: user, user_role: "SELLER", rooms: [] };
      assert.deepEqual(await session.hears("active_user_list", ({ user_role }) => user_role === "SELLER"), list);
    }
    assert.equal(times(two, "active_user_list"), 1);
    for (const session of [one, two]) session.leave();
  });
  named("create_room is told to the creator's sessions", async () => {
    const [buyer, seller] = ["buyer", "seller"].map(someone);
    const [one, two, other] = [await enter(buyer, "BUYER"), await enter(buyer, "BUYER"), await enter(seller, "SELLER")];
    const asked = { type: "BS", buyer, seller, shop_id: "7", creator: buyer };
    one.emit("create_room", asked);
    for (const session of [one, two]) {
      const made = await session.hears("create_room");
      for (const [key, value] of Object.entries({ ...asked, room_id: `${buyer}.${seller}`, _id: `${buyer}.${seller}` })) {
        assert.equal(String(made[key]), value, key);
      }
    }
    two.emit("create_room", asked);
    for (const session of [one, two]) await until(() => times(session, "create_room") === 2, "the room again");
    const { room } = await call(seller, "GET", `/rooms/${buyer}.${seller}`);
    assert.deepEqual([room._id, room.buyer, room.seller], [`${buyer}.${seller}`, buyer, seller]);
    assert.equal(times(other, "create_room"), 0);
    // For somebody else nobody makes a room.
    one.emit("create_room", { ...asked, creator: seller });
    one.emit("create_room", { ...asked, buyer: "else", creator: "else" });
    await until(() => times(one, "error") >= 2, () => `two refusals; came ${JSON.stringify(one.told)}`);
    assert.equal(one.all("error")[0].status, false);
    for (const session of [one, two, other]) session.leave();
  });
  named("new_message is told to all sessions of both, the sender's own too", async () => {
    const all = await scene();
    const client_message_id = someone("m");
    all.members[0].emit("new_message", text(all, "Xin chào 😀", { client_message_id }));
    await fence(all);
    for (const session of all.members) {
      const found = session.all("new_message", (message) => message.client_message_id === client_message_id);
      assert.equal(found.length, 1);
      const [{ _id, created_at, ...rest }] = found;
      assert.ok(typeof _id === "string" && _id !== "");
      assert.match(created_at, ISO);
      for (const [key, value] of Object.entries(text(all, "Xin chào 😀", { client_message_id }))) assert.equal(rest[key], value, key);
    }
    const { data, room_id } = await call(all.seller, "GET", `/messages?room_id=${all.room_id}`);
    assert.equal(room_id, all.room_id);
    assert.equal(data.filter((message) => message.client_message_id === client_message_id).length, 1);
    end(all);
  });
  named("the same client_message_id again is answered to who repeats it only", async () => {
    const all = await scene();
    const message = text(all, "once", { client_message_id: someone("m") });
    const mine = ({ client_message_id }) => client_message_id === message.client_message_id;
    all.members[1].emit("new_message", message);
    const first = await all.members[0].hears("new_message", mine);
    all.members[0].emit("new_message", message);
    await until(() => times(all.members[0], "new_message", mine) === 2, "the stored message again");
    assert.equal(all.members[0].all("new_message", mine)[1]._id, first._id);
    await fence(all);
    for (const session of all.members.slice(1)) assert.equal(times(session, "new_message", mine), 1);
    end(all);
  });
  named("a message into a room that is not there makes it; into one that cannot be is refused", async () => {
    const [buyer, seller] = ["buyer", "seller"].map(someone);
    const [one, other] = [await enter(buyer, "BUYER"), await enter(seller, "SELLER")];
    one.emit("new_message", { room_id: `${buyer}.${seller}`, from: buyer, to: seller, type: "TEXT", content: "first" });
    for (const session of [one, other]) await session.hears("new_message", ({ content }) => content === "first");
    one.emit("new_message", { room_id: "nobody.else", from: buyer, to: seller, type: "TEXT", content: "lost" });
    assert.equal((await one.hears("error")).status, false);
    for (const session of [one, other]) session.leave();
  });
  named("nobody speaks for somebody else", async () => {
    const all = await scene();
    const [buyer, , seller] = all.members;
    for (const name of ["new_message", "typing", "stop_typing", "seen_messages"]) {
      seller.emit(name, text(all, "forged", { last_message_id: "x", last_message_created_at: new Date().toISOString() }));
    }
    all.stranger.emit("new_message", text(all, "forged", { from: all.other }));
    await until(() => times(seller, "error") >= 1 && times(all.stranger, "error") >= 1, "the refusals");
    await fence(all);
    for (const session of all.members) assert.equal(times(session, "new_message", ({ content }) => content === "forged"), 0);
    assert.deepEqual([buyer.all("typing"), buyer.all("seen_messages")], [[], []]);
    end(all);
  });
  named("typing and stop_typing go to all but the socket itself", async () => {
    const all = await scene();
    const payload = { room_id: all.room_id, from: all.buyer, to: all.seller };
    for (const name of ["typing", "stop_typing"]) {
      all.members[0].emit(name, payload);
      for (const session of all.members.slice(1)) assert.deepEqual(await session.hears(name), payload);
    }
    await fence(all);
    assert.deepEqual([times(all.members[0], "typing"), times(all.stranger, "typing")], [0, 0]);
    end(all);
  });
  named("seen_messages goes to the other side, and clears the reader's count", async () => {
    const all = await scene();
    all.members[0].emit("new_message", text(all, "look"));
    const { _id, created_at } = await all.members[2].hears("new_message");
    assert.equal((await call(all.seller, "GET", `/rooms/unseen?user_id=${all.seller}&role=SELLER`)).unseen_rooms, 1);
    const payload = { room_id: all.room_id, from: all.seller, to: all.buyer, last_message_id: _id, last_message_created_at: created_at };
    all.members[2].emit("seen_messages", payload);
    for (const session of all.members.slice(0, 2)) assert.deepEqual(await session.hears("seen_messages"), payload);
    await fence(all);
    for (const session of all.members.slice(2)) assert.equal(times(session, "seen_messages"), 0);
    const { data } = await call(all.buyer, "GET", `/messages?room_id=${all.room_id}&limit=15`);
    assert.equal(data.find((message) => message._id === _id).is_seen, true);
    end(all);
  });
  named("who comes and goes is told to each counterpart, once", async () => {
    const [buyer, seller] = ["buyer", "seller"].map(someone);
    await call(buyer, "POST", "/rooms", { type: "BS", buyer, seller, shop_id: "7", creator: buyer });
    const room_id = `${buyer}.${seller}`;
    const watcher = await enter(seller, "SELLER");
    assert.deepEqual((await watcher.hears("active_user_list")).rooms, [{ room_id, status: false }]);
    const [one, two] = [await enter(buyer, "BUYER"), await enter(buyer, "BUYER")];
    const change = { user_id: buyer, user_role: "BUYER", room_id };
    assert.deepEqual(await watcher.hears("user_status_change"), { ...change, status: true });
    assert.deepEqual((await one.hears("active_user_list")).rooms, [{ room_id, status: true }]);
    one.leave();
    two.leave();
    const gone = ({ status }) => status === false;
    await until(() => times(watcher, "user_status_change", gone) === 1, "that the buyer is gone", OFFLINE_WITHIN + 5000);
    assert.deepEqual(watcher.all("user_status_change", gone), [{ ...change, status: false }]);
    assert.equal(times(watcher, "user_status_change", ({ status }) => status === true), 1);
    watcher.leave();
  });
  named("verify_user", async () => {
    const user = someone("buyer");
    const session = await enter(user, "BUYER");
    session.emit("verify_user", { token: token(user, 900), user_id: user, user_role: "BUYER" });
    assert.deepEqual(await session.hears("verify_user"), { status: true });
    session.emit("verify_user", { token: "rubbish", user_id: user, user_role: "BUYER" });
    await session.hears("verify_user", ({ status }) => status === false);
    assert.equal(await session.ends(), "io server disconnect");
    session.leave();
  });
  named("a deleted room is told to both, hidden for one, and comes back with a message", async () => {
    const all = await scene();
    all.members[0].emit("new_message", text(all, "old"));
    await all.members[2].hears("new_message");
    const answer = await call(all.seller, "DELETE", `/rooms/${all.room_id}?role=SELLER`);
    assert.deepEqual([answer.status, answer.role], [true, "SELLER"]);
    for (const session of all.members) {
      assert.deepEqual(await session.hears("room_deletion"), {
        room_id: all.room_id, seller: all.seller, buyer: all.buyer, deletion_role: "SELLER",
      });
    }
    all.members[0].emit("new_message", text(all, "new"));
    await all.members[2].hears("new_message", ({ content }) => content === "new");
    const contents = async (user) => (await call(user, "GET", `/messages?room_id=${all.room_id}`)).data.map(({ content }) => content);
    assert.deepEqual(await contents(all.seller), ["new"]);
    assert.deepEqual(await contents(all.buyer), ["new", "old"]);
    end(all);
  });
  named("a blocked room refuses messages", async () => {
    const all = await scene();
    assert.equal((await call(all.seller, "POST", `/rooms/${all.room_id}/block`, { block: true, role: "SELLER" })).status, true);
    all.members[0].emit("new_message", text(all, "unwanted"));
    assert.equal((await all.members[0].hears("error")).status, false);
    assert.equal((await call(all.seller, "POST", `/rooms/${all.room_id}/block`, { block: false, role: "SELLER" })).status, true);
    await fence(all);
    for (const session of all.members) assert.equal(times(session, "new_message", ({ content }) => content === "unwanted"), 0);
    end(all);
  });
  if (process.env.EXPIRY) {
    named("a token that ends disconnects until there is a new one; one that is renewed before does not", async () => {
      const user = someone("buyer");
      const [session, renewed] = [await enter(user, "BUYER", 3), await enter(user, "BUYER", 3)];
      const credentials = { token: token(user), user_id: user, user_role: "BUYER" };
      renewed.emit("verify_user", credentials);
      assert.deepEqual(await renewed.hears("verify_user"), { status: true });
      assert.equal(await session.ends(), "io server disconnect");
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(session.socket.connected, false);
      const back = new Promise((resolve) => session.socket.once("connect", resolve));
      if (library.major >= 3) session.socket.auth = credentials;
      else session.socket.query = credentials;
      session.socket.connect();
      await within(back, 15_000, "coming back with a new token");
      for (const one of [session, renewed]) {
        one.emit("typing", {});
        assert.equal((await one.hears("error")).status, false);
        one.leave();
      }
    });
  }
}

const code = await runAll({ together: 3 });
await serving.end();
process.exit(code);
