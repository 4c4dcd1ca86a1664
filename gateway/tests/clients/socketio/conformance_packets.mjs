// Socket.IO 5: events, acks both ways, attachments.

import assert from "node:assert/strict";
import { test } from "./cases.mjs";
import { joined } from "./conformance_namespaces.mjs";
import { Polling } from "./wire.mjs";

const place = (num) => `{"_placeholder":true,"num":${num}}`;

export function packets(base) {
  const named = (name, body) => test(`packets: ${name}`, body);
  const echoes = async (session, json) => {
    session.send(`42["message"${json}]`);
    assert.equal(await session.next(), `42["message-back"${json}]`);
  };

  named("arguments of every kind", async () => {
    const session = await joined(base);
    for (const json of [
      "", ",1", ',"x"', ",null", ",true,false", ",[1,[2,[3]]]", ',{"a":{"b":{}}}', ',"é € 😀 \u2028"', ',"a\\n\\"b\\\\c"',
      ',-1.5,1e+30,0', ',{"":0}', ",[]", ',"42[\\"message\\"]"', `,"${"x".repeat(100_000)}"`,
    ]) await echoes(session, json);
    await session.close();
  });
  named("an event whose name is a number, and one that nobody knows", async () => {
    const session = await joined(base);
    session.send("42[123,1]");
    session.send('42["nobody-knows",1]');
    session.send('427["nobody-knows",1]');
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty", ""]) {
      session.send(`42["${name}",1]`);
    }
    await echoes(session, ",1");
    await session.close();
  });
  named("acks, with any id, in their order", async () => {
    const session = await joined(base);
    const ids = [0, 1, 12, 999, 4294967295, 9007199254740991];
    for (const id of ids) session.send(`42${id}["message-with-ack",${id},"x"]`);
    assert.deepEqual(await session.take(ids.length), ids.map((id) => `43${id}[${id},"x"]`));
    session.send('425["message-with-ack"]');
    assert.equal(await session.next(), "435[]");
    await session.close();
  });
  named("the server asks", async () => {
    const session = await joined(base);
    const ids = new Set();
    for (let round = 0; round < 5; round += 1) {
      session.send(`42["ask-me",${round},{"a":"b"}]`);
      const question = await session.next();
      const [, id] = /^42(\d+)\["question",\d,\{"a":"b"\}\]$/.exec(question) ?? assert.fail(question);
      assert.ok(!ids.has(id));
      ids.add(id);
      session.send(`43${id}["yes",${round}]`);
      assert.equal(await session.next(), `42["answer-was","yes",${round}]`);
      // A second answer to the same question, and one to none.
      session.send(`43${id}["again"]`);
      session.send('4399999["nobody asked"]');
    }
    await echoes(session, ",1");
    await session.close();
  });
  named("questions may be answered in any order", async () => {
    const session = await joined(base);
    for (let round = 0; round < 3; round += 1) session.send(`42["ask-me",${round}]`);
    const ids = (await session.take(3)).map((question) => /^42(\d+)/.exec(question)[1]);
    for (const at of [2, 0, 1]) session.send(`43${ids[at]}[${at}]`);
    assert.deepEqual(await session.take(3), [2, 0, 1].map((at) => `42["answer-was",${at}]`));
    await session.close();
  });
  named("attachments", async () => {
    const session = await joined(base);
    session.send(`451-["message",${place(0)}]`);
    session.send(Buffer.from([1, 2, 3]));
    assert.deepEqual(await session.take(2), [`451-["message-back",${place(0)}]`, Buffer.from([1, 2, 3])]);
    session.send(`452-["message",{"a":${place(0)},"b":[${place(1)},"x"]},5]`);
    session.send(Buffer.from([1]));
    session.send(Buffer.alloc(0));
    assert.deepEqual(await session.take(3), [
      `452-["message-back",{"a":${place(0)},"b":[${place(1)},"x"]},5]`, Buffer.from([1]), Buffer.alloc(0),
    ]);
    await session.close();
  });
  named("attachments in an ack, of the client and of the server", async () => {
    const session = await joined(base);
    session.send(`451-456["message-with-ack",${place(0)}]`);
    session.send(Buffer.from([1, 2, 3]));
    assert.deepEqual(await session.take(2), [`461-456[${place(0)}]`, Buffer.from([1, 2, 3])]);
    session.send(`451-["ask-me",${place(0)}]`);
    session.send(Buffer.from([9]));
    const question = await session.next();
    const [, id] = /^451-(\d+)\["question",/.exec(question) ?? assert.fail(question);
    assert.deepEqual(await session.next(), Buffer.from([9]));
    session.send(`462-${id}[${place(0)},${place(1)}]`);
    session.send(Buffer.from([7]));
    session.send(Buffer.from([8]));
    assert.deepEqual(await session.take(3), [
      `452-["answer-was",${place(0)},${place(1)}]`, Buffer.from([7]), Buffer.from([8]),
    ]);
    await session.close();
  });
  named("ten attachments pass", async () => {
    const session = await joined(base);
    const all = Array.from({ length: 10 }, (_, num) => num);
    const attachments = all.map((num) => Buffer.alloc(num * 100, num));
    const json = all.map(place).join(",");
    session.send(`4510-["message",${json}]`);
    for (const attachment of attachments) session.send(attachment);
    assert.deepEqual(await session.take(11), [`4510-["message-back",${json}]`, ...attachments]);
    await session.close();
  });
  named("attachments in a namespace", async () => {
    const session = await joined(base);
    session.send("40/custom");
    await session.take(2);
    session.send(`451-/custom,3["message-with-ack",${place(0)}]`);
    session.send(Buffer.from([5]));
    assert.deepEqual(await session.take(2), [`461-/custom,3[${place(0)}]`, Buffer.from([5])]);
    await session.close();
  });
  named("attachments by polling", async () => {
    const session = await Polling.open(base, "/socket.io/");
    await session.say("40");
    await session.take(2);
    await session.say(`452-8["message-with-ack",${place(0)},${place(1)}]`, "bAQIDBA==", "bBQ==");
    assert.deepEqual(await session.take(3), [
      `462-8[${place(0)},${place(1)}]`, Buffer.from([1, 2, 3, 4]), Buffer.from([5]),
    ]);
    // In a body of their own each.
    await session.say(`451-["message",${place(0)}]`);
    await session.say("bAQ==");
    assert.deepEqual(await session.take(2), [`451-["message-back",${place(0)}]`, Buffer.from([1])]);
  });
  named("an event of almost maxPayload comes back", async () => {
    const session = await joined(base);
    await echoes(session, `,"${"x".repeat(999_900)}"`);
    await session.close();
  });
}
