// Engine.IO 3, where it differs: lengths, octets, heartbeats of the client, and Socket.IO 4 on it.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "./cases.mjs";
import { Direct, Polling, ask, askOrCut, begin, join3, split3 } from "./wire.mjs";

const bytes = Buffer.from([1, 2, 3, 4]);

export function version3(base) {
  const open = (options) => Polling.open(base, "/engine.io/", { version: 3, ...options });
  const direct = (query) => Direct.open(base, "/engine.io/", { version: 3, query });
  const named = (name, body) => test(`version 3: ${name}`, body);

  named("handshake by polling", async () => {
    for (const query of ["", "&b64=1"]) {
      const { answer, open: { sid, ...rest } } = await open({ query });
      assert.match(sid, /^[A-Za-z0-9_-]{16,}$/);
      const { maxPayload, ...needed } = rest;
      assert.deepEqual(needed, { upgrades: ["websocket"], pingInterval: 300, pingTimeout: 200 });
      assert.match(answer.text, /^\d+:0\{/);
      assert.equal(answer.headers["content-type"].toLowerCase(), "text/plain; charset=utf-8");
    }
  });
  named("handshake by websocket", async () => {
    const session = await direct();
    assert.deepEqual(session.open.upgrades, []);
    await session.close();
  });
  named("text messages", async () => {
    const session = await open();
    await session.say("4hello");
    const { text } = await session.get();
    assert.equal(text, "6:4hello");
    await session.say("4test1", "4test2", "4test3");
    assert.equal((await session.get()).text, "6:4test16:4test26:4test3");
  });
  named("lengths are in UTF-16 code units", async () => {
    const session = await open();
    await session.say("4é€", "4😀", "4x");
    assert.equal((await session.get()).text, "3:4é€3:4😀2:4x");
  });
  named("binary as base64, for a client that takes no octets", async () => {
    const session = await open({ query: "&b64=1" });
    await session.say("4hello", "b4AQIDBA==");
    assert.equal((await session.get()).text, "6:4hello10:b4AQIDBA==");
  });
  named("binary as octets, both ways", async () => {
    const session = await open();
    const body = Buffer.concat([
      Buffer.from([0, 6, 255]), Buffer.from("4hello"), Buffer.from([1, 5, 255, 4]), bytes,
    ]);
    const { status, text } = await session.post(body, { "content-type": "application/octet-stream" });
    assert.deepEqual([status, text], [200, "ok"]);
    const answer = await session.get();
    assert.equal(answer.headers["content-type"], "application/octet-stream");
    assert.deepEqual(answer.bytes, body);
  });
  named("an unreadable body closes the session", async () => {
    for (const body of ["abc", "6:4hell", "x:4", "1:9", "-1:4"]) {
      const session = await open();
      await askOrCut(session.url, { method: "POST", body });
      await session.over();
    }
  });
  named("octets that cannot be read are answered, and close the session", async () => {
    for (const body of [Buffer.from([1, 5, 255, 4]), Buffer.from([7, 7]), Buffer.from([0, 255])]) {
      const session = await open();
      const headers = { "content-type": "application/octet-stream" };
      await askOrCut(session.url, { method: "POST", body, headers });
      // Whatever was made of it, the next request is answered.
      const { status } = await askOrCut(session.url, { method: "POST", body: join3("2") });
      if (status) assert.ok([200, 400].includes(status), `${status}`);
    }
  });
  named("two polls at once close the session", async () => {
    const session = await open();
    const first = begin(session.url);
    await sleep(50);
    const second = await ask(session.url);
    assert.ok([400, 500].includes(second.status), `${second.status}`);
    assert.deepEqual(split3((await first.answer).bytes), ["1"]);
    await session.over();
  });
  named("messages on a websocket", async () => {
    const session = await direct();
    session.send("4hello");
    assert.equal(await session.next(), "4hello");
    session.send(Buffer.concat([Buffer.from([4]), bytes]));
    assert.deepEqual(await session.next(), Buffer.concat([Buffer.from([4]), bytes]));
    await session.close();
  });
  named("binary as base64 on a websocket", async () => {
    const session = await direct("&b64=1");
    session.send("b4AQIDBA==");
    assert.equal(await session.next(), "b4AQIDBA==");
    await session.close();
  });
  named("the client pings, by polling", async () => {
    const session = await open();
    for (let round = 0; round < 4; round += 1) {
      await sleep(200);
      await session.say("2");
      assert.equal((await session.get()).text, "1:3");
    }
  });
  named("the client pings, by websocket", async () => {
    const session = await direct();
    for (let round = 0; round < 4; round += 1) {
      await sleep(200);
      session.send("2");
      assert.equal(await session.next(), "3");
    }
    await session.close();
  });
  named("one who is silent is closed", async () => {
    const [socket, polls] = [await direct(), await open()];
    await socket.closed(2000);
    await sleep(200);
    await polls.over();
  });
  named("a heartbeat in the wrong direction closes", async () => {
    const session = await direct();
    session.send("3");
    await session.closed();
  });
  named("close", async () => {
    const session = await open();
    const poll = begin(session.url);
    await sleep(20);
    await askOrCut(session.url, { method: "POST", body: "1:1" });
    assert.deepEqual(split3((await poll.answer).bytes), ["6"]);
    await session.over();
    const socket = await direct();
    socket.send("1");
    await socket.closed();
  });

  const io = async (query) => {
    const session = await Direct.open(base, "/socket.io/", { version: 3, query });
    assert.equal(await session.next(), "40");
    assert.equal(await session.next(), '42["auth",{}]');
    return session;
  };
  named("Socket.IO speaks first on /, by websocket and by polling", async () => {
    const session = await io("&token=x");
    await session.close();
    const polls = await Polling.open(base, "/socket.io/", { version: 3 });
    assert.deepEqual(await polls.take(2), ["40", '42["auth",{}]']);
  });
  named("Socket.IO: the query stands in the namespace", async () => {
    const session = await io();
    session.send("40/custom?token=a%20b&n=1&n=2&%C3%A9=%F0%9F%98%80,");
    assert.equal(await session.next(), "40/custom,");
    assert.equal(await session.next(), '42/custom,["auth",{"token":"a b","n":"2","é":"😀"}]');
    session.send('42/custom,5["message-with-ack",1]');
    assert.equal(await session.next(), "43/custom,5[1]");
    await session.close();
  });
  named("Socket.IO: a namespace without a query", async () => {
    for (const packet of ["40/custom", "40/custom,"]) {
      const session = await io();
      session.send(packet);
      assert.deepEqual(await session.take(2), ["40/custom,", '42/custom,["auth",{}]']);
      await session.close();
    }
  });
  named("Socket.IO: refused with the data itself, then let in", async () => {
    const session = await io();
    session.send("40/protected?token=wrong,");
    assert.equal(await session.next(), '44/protected,{"code":"E_AUTH","retry":false}');
    session.send("40/protected?token=let-me-in,");
    assert.deepEqual(await session.take(2), ["40/protected,", '42/protected,["auth",{"token":"let-me-in"}]']);
    await session.close();
  });
  named("Socket.IO: an unknown namespace", async () => {
    const session = await io();
    session.send("40/random?a=b,");
    const answer = await session.next();
    assert.ok(answer.startsWith("44/random,") && answer.includes("Invalid namespace"), answer);
    session.send('42["message",1]');
    assert.equal(await session.next(), '42["message-back",1]');
    await session.close();
  });
  named("Socket.IO: events, acks and questions", async () => {
    const session = await io();
    session.send('42["message","é",{"a":[1,2]},null]');
    assert.equal(await session.next(), '42["message-back","é",{"a":[1,2]},null]');
    session.send('420["message-with-ack","x",2]');
    assert.equal(await session.next(), '430["x",2]');
    session.send('42["ask-me",1,"two"]');
    const [, id] = /^42(\d+)\["question",1,"two"\]$/.exec(await session.next());
    session.send(`43${id}["three",4]`);
    assert.equal(await session.next(), '42["answer-was","three",4]');
    await session.close();
  });
  named("Socket.IO: attachments both ways", async () => {
    const session = await io();
    const attachment = Buffer.concat([Buffer.from([4]), bytes]);
    session.send('451-["message",{"_placeholder":true,"num":0}]');
    session.send(attachment);
    assert.equal(await session.next(), '451-["message-back",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await session.next(), attachment);
    session.send('451-7["message-with-ack",{"_placeholder":true,"num":0},"x"]');
    session.send(attachment);
    assert.equal(await session.next(), '461-7[{"_placeholder":true,"num":0},"x"]');
    assert.deepEqual(await session.next(), attachment);
    await session.close();
  });
  named("Socket.IO: kicked out of one namespace, and cut off", async () => {
    const session = await io();
    session.send("40/custom,");
    await session.take(2);
    session.send('42/custom,["kick-me"]');
    assert.equal(await session.next(), "41/custom,");
    session.send('42["message",1]');
    assert.equal(await session.next(), '42["message-back",1]');
    session.send('42["cut-me"]');
    await session.closed();
  });
  named("Socket.IO by polling, from the first packet to the last", async () => {
    const session = await Polling.open(base, "/socket.io/", { version: 3, query: "&b64=1" });
    await session.take(2);
    await session.say("40/custom?a=b,");
    assert.deepEqual(await session.take(2), ["40/custom,", '42/custom,["auth",{"a":"b"}]']);
    await session.say('451-/custom,["message",{"_placeholder":true,"num":0}]', "b4AQIDBA==");
    assert.deepEqual(await session.take(2), ['451-/custom,["message-back",{"_placeholder":true,"num":0}]', bytes]);
    await session.say('42["cut-me"]').catch(() => {});
    const { status, bytes: last } = await session.get();
    if (status === 200) assert.equal(split3(last).at(-1), "1");
    await session.over();
  });
}
