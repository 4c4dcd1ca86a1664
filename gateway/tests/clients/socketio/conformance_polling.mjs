// Messages, heartbeats and ends of an Engine.IO 4 session, on long-polling and on a WebSocket.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "./cases.mjs";
import { Direct, Polling, ask, askOrCut, begin } from "./wire.mjs";

const PATH = "/engine.io/";
const bytes = Buffer.from([1, 2, 3, 4]);

export function polling(base) {
  const open = (options) => Polling.open(base, PATH, options);
  const direct = () => Direct.open(base, PATH);

  test("polling: one text message", async () => {
    const session = await open();
    await session.say("4hello");
    const { status, headers, text } = await session.get();
    assert.deepEqual([status, text], [200, "4hello"]);
    assert.equal(headers["content-type"].toLowerCase(), "text/plain; charset=utf-8");
    assert.equal(headers["cache-control"], "no-store");
  });
  test("polling: several messages in one body", async () => {
    const session = await open();
    await session.say("4test1", "4test2", "4test3");
    assert.equal((await session.get()).text, "4test1\x1e4test2\x1e4test3");
  });
  test("polling: text and binary", async () => {
    const session = await open();
    await session.say("4hello", "bAQIDBA==");
    assert.equal((await session.get()).text, "4hello\x1ebAQIDBA==");
  });
  test("polling: empty messages", async () => {
    const session = await open();
    await session.say("4", "4x");
    assert.deepEqual(await session.take(2), ["4", "4x"]);
  });
  test("polling: text of every width, and the answer to the POST", async () => {
    const session = await open();
    const text = "4é € 😀 \u2028 \u0000 \"quoted\\\" ÿ";
    const { status, text: answer, headers } = await session.post(text);
    assert.deepEqual([status, answer, headers["content-length"]], [200, "ok", "2"]);
    assert.equal(await session.next(), text);
  });
  test("polling: all bytes, and bodies without a type", async () => {
    const session = await open();
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    assert.equal((await session.post(`b${all.toString("base64")}`, {})).status, 200);
    assert.deepEqual(await session.next(), all);
    assert.equal((await session.post("4x", { "content-type": "text/html" })).status, 200);
    assert.equal(await session.next(), "4x");
  });
  test("polling: a poll waits for what comes", async () => {
    const session = await open();
    const poll = session.get();
    await session.say("4later");
    assert.equal((await poll).text, "4later");
  });
  test("polling: a hundred messages stay in order", async () => {
    const session = await open();
    const messages = Array.from({ length: 100 }, (_, i) => `4message ${i}`);
    await session.say(...messages);
    assert.deepEqual(await session.take(100), messages);
  });
  test("polling: a body of exactly maxPayload comes back", async () => {
    const session = await open();
    await session.say(`4${"x".repeat(999_999)}`);
    assert.equal((await session.next()).length, 1_000_000);
  });
  test("polling: a body beyond maxPayload is refused with 413", async () => {
    const session = await open();
    const answer = await askOrCut(session.url, { method: "POST", body: `4${"x".repeat(1_000_000)}` });
    if (!answer.cut) assert.equal(answer.status, 413);
  });
  test("polling: so is one that does not say how long it is", async () => {
    const session = await open();
    const request = begin(session.url, {
      method: "POST", body: null, headers: { "transfer-encoding": "chunked", "content-type": "text/plain" },
    });
    for (let part = 0; part < 20; part += 1) request.send("4".repeat(100_000));
    request.finish("4");
    const answer = await request.answer.catch(() => ({ status: 413 }));
    assert.equal(answer.status, 413);
  });
  test("polling: an unreadable packet closes the session", async () => {
    for (const body of ["abc", "4a\x1eabc", "", "9", "\x1e4a"]) {
      const session = await open();
      const answer = await askOrCut(session.url, { method: "POST", body });
      if (!answer.cut) assert.ok([200, 400].includes(answer.status), `${answer.status}`);
      await session.over();
    }
  });
  test("polling: octets are none of version 4", async () => {
    const session = await open();
    const answer = await askOrCut(session.url, {
      method: "POST", body: bytes, headers: { "content-type": "application/octet-stream" },
    });
    if (!answer.cut) assert.equal(answer.status, 400);
    await session.over();
  });
  test("polling: two polls at once close the session", async () => {
    const session = await open();
    const first = begin(session.url);
    await sleep(50);
    const second = await ask(`${session.url}&t=burst`);
    assert.ok([400, 500].includes(second.status), `${second.status}`);
    const { status, text } = await first.answer;
    assert.deepEqual([status, text], [200, "1"]);
    await session.over();
  });
  test("polling: two uploads at once close the session", async () => {
    const session = await open();
    const first = begin(session.url, { method: "POST", body: null, headers: { "content-length": 100 } });
    first.send("4hello");
    await sleep(50);
    const second = await askOrCut(session.url, { method: "POST", body: "4second" });
    if (!second.cut) assert.ok([400, 500].includes(second.status), `${second.status}`);
    await session.over();
    first.abort();
  });
  test("polling: a poll that is given up closes the session", async () => {
    const session = await open();
    const poll = begin(session.url);
    await sleep(50);
    poll.abort();
    await sleep(50);
    await session.over();
  });
  test("polling: an upload that is given up closes the session", async () => {
    const session = await open();
    const post = begin(session.url, { method: "POST", body: null, headers: { "content-length": 100 } });
    post.send("4hel");
    await sleep(50);
    post.abort();
    await sleep(50);
    await session.over();
  });
  test("polling: a session takes GET and POST only", async () => {
    const session = await open();
    for (const method of ["PUT", "DELETE"]) {
      const { status } = await ask(session.url, { method });
      assert.ok(status >= 400, `${method}: ${status}`);
    }
  });
  test("polling: a websocket session takes no polls", async () => {
    const session = await direct();
    const { status, text } = await ask(`${base}${PATH}?EIO=4&transport=polling&sid=${session.open.sid}`);
    assert.equal(status, 400);
    assert.ok([1, 3].includes(JSON.parse(text).code), text);
    session.send("4still here");
    assert.equal(await session.next(), "4still here");
    await session.close();
  });

  test("websocket: text and binary", async () => {
    const session = await direct();
    for (const message of ["4hello", "4", "4é € 😀", bytes, Buffer.alloc(0)]) {
      session.send(message);
      assert.deepEqual(await session.next(), message);
    }
    await session.close();
  });
  test("websocket: a message of maxPayload comes back, a longer one closes", async () => {
    const session = await direct();
    session.send(`4${"x".repeat(999_999)}`);
    assert.equal((await session.next()).length, 1_000_000);
    const large = Buffer.alloc(1_000_000, 7);
    session.send(large);
    assert.deepEqual(await session.next(), large);
    session.send(`4${"x".repeat(1_000_000)}`);
    await session.closed();
  });
  test("websocket: a thousand messages stay in order", async () => {
    const session = await direct();
    for (let i = 0; i < 1000; i += 1) session.send(i % 3 === 0 ? Buffer.from(`${i}`) : `4${i}`);
    for (let i = 0; i < 1000; i += 1) {
      assert.deepEqual(await session.next(), i % 3 === 0 ? Buffer.from(`${i}`) : `4${i}`);
    }
    await session.close();
  });
  test("websocket: an unreadable packet closes", async () => {
    for (const frame of ["abc", "7", "", "b!"]) {
      const session = await direct();
      session.send(frame);
      await session.closed();
    }
  });
  test("websocket: the client closes, by packet and by frame", async () => {
    const session = await direct();
    session.send("1");
    await session.closed();
    const other = await direct();
    await other.close();
  });

  test("heartbeat: by polling", async () => {
    const session = await open();
    for (let round = 0; round < 3; round += 1) {
      assert.equal((await session.get()).text, "2");
      await session.say("3");
    }
  });
  test("heartbeat: by websocket", async () => {
    const { socket } = await direct();
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await socket.next(), "2");
      socket.send("3");
    }
    await socket.close();
  });
  test("heartbeat: one who is silent is closed, by polling", async () => {
    const session = await open();
    // The sum of both times, and room for a busy machine.
    await sleep(700);
    await session.over();
  });
  test("heartbeat: a poll that waits is answered when its session ends", async () => {
    const session = await open();
    assert.equal((await session.get()).text, "2");
    const { status } = await session.get();
    assert.ok([200, 400].includes(status), `${status}`);
    await session.over();
  });
  test("heartbeat: one who is silent is closed, by websocket", async () => {
    const { socket } = await direct();
    assert.equal(await socket.next(), "2");
    await socket.closed();
  });
  test("heartbeat: in the wrong direction it closes", async () => {
    const session = await direct();
    session.send("2");
    await session.closed();
    const polls = await open();
    await askOrCut(polls.url, { method: "POST", body: "2" });
    await polls.over();
  });
  test("heartbeat: an answer to no ping is none's harm", async () => {
    const session = await direct();
    session.send("3");
    session.send("4still here");
    assert.equal(await session.next(), "4still here");
    await session.close();
  });

  test("close: by polling", async () => {
    const session = await open();
    const poll = begin(session.url);
    await sleep(20);
    const { status } = await askOrCut(session.url, { method: "POST", body: "1" });
    if (status) assert.equal(status, 200);
    assert.equal((await poll.answer).text, "6");
    await session.over();
  });
  test("close: what comes behind it is not heard", async () => {
    const session = await open();
    await askOrCut(session.url, { method: "POST", body: "1\x1e4hello" });
    await session.over();
  });
}
