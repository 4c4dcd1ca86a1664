// Socket.IO 5: what is not of the protocol closes the connection, and costs nobody else anything.

import assert from "node:assert/strict";
import { test } from "./cases.mjs";
import { joined } from "./conformance_namespaces.mjs";
import { Direct, Polling } from "./wire.mjs";

const place = (num) => `{"_placeholder":true,"num":${num}}`;

const CLOSE = [
  // no packet
  "4", "4abc", "47", "48[1]", "49", "4-1", "4 2[\"message\"]",
  // no payload, or one of the wrong form
  "42{}", '42"message"', "42[]", "42[null]", "42[true]", "42[{}]", '42[["message"]]', "42null", "42message",
  '42["message"', '42["message",]', '42["message"]x', "42['message']", '42["message",undefined]', "42[\"message\",NaN]",
  "43{}", '43"x"', "431{}", "41[]", "41{}", '41"x"', "41null",
  // ids that are none
  '42abc["message"]', '42-1["message"]', '42/["message"]',
  // names that mean something else
  '42["connect"]', '42["connect_error"]', '42["disconnect"]', '42["disconnecting",1]', '42["newListener"]',
  '42["removeListener"]', '421["disconnect"]',
  // what is the server's, or comes twice, or for nobody
  '44{"message":"x"}', '44"x"', "40", "40{}", '42/custom,["message"]', "41/custom,", "43/custom,1[]", '42/random,["message"]',
  "40[]", '40"x"', "401", "40null,", '40{"a":}',
  // attachments
  '45["message"]', '45-["message"]', '45x-["message"]', '45-1-["message"]', '4511-["message"]', '45999999-["message"]',
  '451.5-["message"]', '451["message"]', "451-{}", '451-["connect",{"_placeholder":true,"num":0}]', "461-{}", "4611-1[]",
];

export function invalid(base) {
  const named = (name, body) => test(`invalid: ${name}`, body);

  for (const frame of CLOSE) {
    named(`${frame} closes`, async () => {
      const session = await joined(base);
      session.send(frame);
      await session.closed();
      assert.deepEqual(session.socket.frames.filter((frame) => frame !== "2"), []);
    });
  }
  for (const frame of ["4abc", '42["message"]', "41", "43[]", '44{"message":"x"}', '451-["message",{"_placeholder":true,"num":0}]']) {
    named(`${frame} as the first packet closes`, async () => {
      const session = await Direct.open(base, "/socket.io/");
      session.send(frame);
      if (frame.startsWith("451-")) session.send(Buffer.from([1]));
      await session.closed();
    });
  }
  named("bytes that were not announced close", async () => {
    const session = await joined(base);
    session.send(Buffer.from([1, 2, 3]));
    await session.closed();
  });
  named("text between a packet and its attachments closes", async () => {
    const session = await joined(base);
    session.send(`452-["message",${place(0)},${place(1)}]`);
    session.send(Buffer.from([1]));
    session.send('42["message",1]');
    await session.closed();
  });
  named("an attachment too many closes", async () => {
    const session = await joined(base);
    session.send(`451-["message",${place(0)}]`);
    session.send(Buffer.from([1]));
    await session.take(2);
    session.send(Buffer.from([2]));
    await session.closed();
  });
  named("placeholders of no attachment close", async () => {
    for (const json of [place(1), place(-1), place('"0"'), place(0.5), '{"_placeholder":true}']) {
      const session = await joined(base);
      session.send(`451-["message",${json}]`);
      session.send(Buffer.from([1]));
      await session.closed();
    }
  });
  named("no attachments announced never waits for any", async () => {
    const session = await joined(base);
    session.send('450-["message"]');
    session.send('42["message",1]');
    session.send(Buffer.from([1]));
    await session.closed();
  });
  named("deep nesting harms nobody", async () => {
    const [session, other] = [await joined(base), await joined(base)];
    const depth = 100_000;
    session.send(`42["message",${"[".repeat(depth)}${"]".repeat(depth)}]`);
    other.send('42["message",1]');
    assert.equal(await other.next(), '42["message-back",1]');
    await other.close();
    session.socket.cut();
  });
  named("a frame that is cut in the middle of JSON closes, by polling", async () => {
    const session = await Polling.open(base, "/socket.io/");
    await session.say("40");
    await session.take(2);
    await session.post('42["message"').catch(() => {});
    const { status, text } = await session.get();
    if (status === 200) assert.equal(text.split("\x1e").at(-1), "1");
    await session.over();
  });
  named("what was said before it is answered", async () => {
    const session = await joined(base);
    session.send('42["message",1]');
    assert.equal(await session.next(), '42["message-back",1]');
    session.send("4abc");
    await session.closed();
  });
}
