// Socket.IO 5: joining and leaving namespaces, and being refused.

import assert from "node:assert/strict";
import { test } from "./cases.mjs";
import { Direct, Polling } from "./wire.mjs";

const PATH = "/socket.io/";
const REFUSED = '{"message":"Not authorized","data":{"code":"E_AUTH","retry":false}}';

/** A connection that has joined `/`. */
export async function joined(base) {
  const session = await Direct.open(base, PATH);
  session.send("40");
  const [connect, auth] = await session.take(2);
  assert.match(connect, /^40\{"sid":"[^"]+"\}$/);
  assert.equal(auth, '42["auth",{}]');
  return session;
}

export function namespaces(base) {
  const direct = () => Direct.open(base, PATH);
  const named = (name, body) => test(`namespaces: ${name}`, body);
  /** Joins, and gives the id. */
  const join = async (session, packet, namespace, auth) => {
    session.send(packet);
    const [connect, first] = await session.take(2);
    const head = namespace === "/" ? "" : `${namespace},`;
    const [, sid] = new RegExp(`^40${head}\\{"sid":"([^"]+)"\\}$`).exec(connect) ?? assert.fail(connect);
    assert.equal(first, `42${head}["auth",${auth}]`);
    return sid;
  };
  const lives = async (session, head = "") => {
    session.send(`42${head}["message","alive"]`);
    assert.equal(await session.next(), `42${head}["message-back","alive"]`);
  };

  named("the main one, without and with a payload", async () => {
    for (const [packet, auth] of [["40", "{}"], ["40/,", "{}"], ["40{}", "{}"], ['40{"token":"123"}', '{"token":"123"}']]) {
      const session = await direct();
      const sid = await join(session, packet, "/", auth);
      assert.notEqual(sid, session.open.sid);
      await session.close();
    }
  });
  named("a custom one, with and without its comma", async () => {
    for (const [packet, auth] of [
      ["40/custom", "{}"], ["40/custom,", "{}"], ['40/custom,{"token":"abc","n":[1,{"é":"😀"}]}', '{"token":"abc","n":[1,{"é":"😀"}]}'],
    ]) {
      const session = await direct();
      await join(session, packet, "/custom", auth);
      await lives(session, "/custom,");
      await session.close();
    }
  });
  named("several at once, each with its own id", async () => {
    const session = await direct();
    const ids = new Set([session.open.sid]);
    ids.add(await join(session, "40", "/", "{}"));
    ids.add(await join(session, "40/custom", "/custom", "{}"));
    ids.add(await join(session, '40/protected,{"token":"let-me-in"}', "/protected", '{"token":"let-me-in"}'));
    assert.equal(ids.size, 4);
    for (let round = 0; round < 20; round += 1) {
      session.send(`42${round}["message-with-ack",${round}]`);
      session.send(`42/custom,${round}["message-with-ack","c",${round}]`);
      session.send(`42/protected,${round}["message-with-ack"]`);
      assert.deepEqual(await session.take(3), [
        `43${round}[${round}]`, `43/custom,${round}["c",${round}]`, `43/protected,${round}[]`,
      ]);
    }
    await session.close();
  });
  named("an unknown one", async () => {
    for (const name of ["/random", "/customs", "/Custom", "/custom/", "/__proto__", "/a?b=c"]) {
      const session = await direct();
      session.send(`40${name},`);
      assert.equal(await session.next(), `44${name},{"message":"Invalid namespace"}`);
      await session.close();
    }
  });
  named("a refusal carries its data, and the next try may succeed", async () => {
    const session = await direct();
    for (const packet of ["40/protected", '40/protected,{"token":"x"}', '40/protected,{"token":1}', '40/protected,{"token":["let-me-in"],"a":1}']) {
      session.send(packet);
      assert.equal(await session.next(), `44/protected,${REFUSED}`);
    }
    await join(session, '40/protected,{"token":"let-me-in"}', "/protected", '{"token":"let-me-in"}');
    await lives(session, "/protected,");
    await session.close();
  });
  named("a refusal costs the others nothing", async () => {
    const session = await joined(base);
    session.send("40/protected,");
    assert.equal(await session.next(), `44/protected,${REFUSED}`);
    await lives(session);
    await session.close();
  });
  named("who joins none is closed after a second", async () => {
    const began = Date.now();
    const session = await direct();
    await assert.rejects(session.next(), /closed/);
    const took = Date.now() - began;
    assert.ok(took >= 950, `closed after ${took} ms already`);
  });
  named("who is refused everywhere is closed, too", async () => {
    const session = await direct();
    session.send("40/random");
    session.send("40/protected");
    await session.take(2);
    await assert.rejects(session.next(), /closed/);
  });
  named("who has joined is not", async () => {
    const session = await joined(base);
    const until = Date.now() + 1300;
    while (Date.now() < until) {
      await lives(session);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await session.close();
  });
  named("leaving one leaves the others", async () => {
    const session = await joined(base);
    await join(session, "40/custom", "/custom", "{}");
    session.send("41/custom,");
    await lives(session);
    await join(session, "40/custom", "/custom", "{}");
    session.send("41");
    await lives(session, "/custom,");
    await join(session, "40", "/", "{}");
    await session.close();
  });
  named("leaving all keeps the connection", async () => {
    const session = await joined(base);
    session.send("41");
    // Heartbeats go on; nothing else comes.
    assert.equal(await session.socket.next(), "2");
    session.send("3");
    assert.equal(await session.socket.next(), "2");
    session.send("3");
    await join(session, '40{"again":true}', "/", '{"again":true}');
    await session.close();
  });
  named("kicked out of one, the others stay, and it may be joined again", async () => {
    const session = await joined(base);
    await join(session, "40/custom", "/custom", "{}");
    session.send('42/custom,["kick-me"]');
    assert.equal(await session.next(), "41/custom,");
    await lives(session);
    await join(session, "40/custom", "/custom", "{}");
    session.send('42["kick-me"]');
    assert.equal(await session.next(), "41");
    await lives(session, "/custom,");
    await session.close();
  });
  named("cut off, on a websocket", async () => {
    const session = await joined(base);
    session.send('42["cut-me"]');
    await session.closed();
    assert.deepEqual(session.socket.frames.filter((frame) => frame !== "2"), []);
  });
  named("by polling", async () => {
    const session = await Polling.open(base, PATH);
    await session.say('40{"a":1}');
    const [connect, auth] = await session.take(2);
    assert.match(connect, /^40\{"sid":"[^"]+"\}$/);
    assert.equal(auth, '42["auth",{"a":1}]');
    await session.say("40/random", "40/custom");
    const three = await session.take(3);
    assert.equal(three[0], '44/random,{"message":"Invalid namespace"}');
    assert.match(three[1], /^40\/custom,\{"sid":"[^"]+"\}$/);
    await session.say('42["message",1]', '42/custom,["message",2]');
    assert.deepEqual(await session.take(2), ['42["message-back",1]', '42/custom,["message-back",2]']);
  });
  named("cut off, by polling", async () => {
    const session = await Polling.open(base, PATH);
    await session.say("40");
    await session.take(2);
    await session.say('42["cut-me"]').catch(() => {});
    const { status, text } = await session.get();
    if (status === 200) assert.equal(text.split("\x1e").at(-1), "1");
    await session.over();
  });
  named("an upgrade keeps what was joined", async () => {
    const session = await Polling.open(base, PATH);
    await session.say("40", "40/custom");
    await session.take(4);
    const socket = await session.probe();
    socket.send("5");
    for (const head of ["", "/custom,"]) {
      socket.send(`42${head}["message","upgraded"]`);
      let frame;
      while ((frame = await socket.next()) === "2") socket.send("3");
      assert.equal(frame, `42${head}["message-back","upgraded"]`);
    }
    await socket.close();
  });
}
