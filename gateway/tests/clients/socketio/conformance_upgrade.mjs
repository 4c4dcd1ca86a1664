// From polling to a WebSocket: nothing is lost, repeated or out of its order, and a failed trial costs the trial only.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "./cases.mjs";
import { Direct, Polling, Socket, begin } from "./wire.mjs";

const PATH = "/engine.io/";

export function upgrades(base) {
  for (const version of [4, 3]) {
    const named = (name, body) => test(`upgrade of version ${version}: ${name}`, body);
    const open = () => Polling.open(base, PATH, { version });
    /** The next frame that is no heartbeat. */
    const next = async (socket) => {
      for (;;) {
        const frame = await socket.next();
        if (frame !== "2") return frame;
        socket.send("3");
      }
    };
    const answersOn = async (socket, text = "4hello") => {
      socket.send(text);
      assert.equal(await next(socket), text);
    };

    named("probe, noop, upgrade", async () => {
      const session = await open();
      const poll = begin(session.url);
      const socket = await session.probe();
      assert.deepEqual(session.packets(await poll.answer), ["6"]);
      socket.send("5");
      await answersOn(socket);
      await socket.close();
    });
    named("a poll that comes after the probe is released", async () => {
      const session = await open();
      const socket = await session.probe();
      assert.deepEqual(session.packets(await session.get()), ["6"]);
      socket.send("5");
      await answersOn(socket);
      await socket.close();
    });
    named("no requests any more", async () => {
      const session = await open();
      const socket = await session.probe();
      socket.send("5");
      await answersOn(socket, "4first");
      assert.equal((await session.get()).status, 400);
      assert.equal((await session.post(version === 4 ? "4lost" : "5:4lost")).status, 400);
      await answersOn(socket);
      await socket.close();
    });
    named("no second websocket, before or after", async () => {
      const session = await open();
      const socket = await session.probe();
      const second = new Socket(session.socketUrl);
      await second.closed();
      socket.send("5");
      await answersOn(socket, "4first");
      const third = new Socket(session.socketUrl);
      await third.closed();
      assert.deepEqual([second.frames, third.frames], [[], []]);
      await answersOn(socket);
      await socket.close();
    });
    named("what waits goes over the websocket, before what comes after", async () => {
      const session = await open();
      await session.say("4one", "4two");
      const socket = await session.probe();
      await session.say("4three");
      socket.send("5");
      socket.send("4four");
      // What was said before the probe may have been taken by the noop's poll in other servers; none polls here.
      for (const text of ["4one", "4two", "4three", "4four"]) assert.equal(await next(socket), text);
      await socket.close();
    });
    named("uploads go on until the upgrade", async () => {
      const session = await open();
      const socket = await session.probe();
      await session.say("4posted");
      assert.ok((await session.take(1)).includes("4posted"));
      socket.send("5");
      await answersOn(socket);
      await socket.close();
    });
    named("a first frame that is no probe closes the websocket only", async () => {
      for (const frame of ["4hello", "2", "2prob", "abc", "3probe", Buffer.from([1, 2])]) {
        const session = await open();
        const socket = new Socket(session.socketUrl);
        await socket.opened;
        socket.send(frame);
        await socket.closed();
        await session.say("4still here");
        assert.equal(await session.next(), "4still here");
      }
    });
    named("after the probe nothing but the upgrade", async () => {
      const session = await open();
      const socket = await session.probe();
      socket.send("4too early");
      await socket.closed();
      await session.say("4still here");
      assert.equal(await session.next(), "4still here");
    });
    named("a websocket that goes before it is one leaves polling as it was, and another may come", async () => {
      const session = await open();
      const given = await session.probe();
      given.cut();
      await session.say("4still here");
      assert.equal(await session.next(), "4still here");
      await sleep(50);
      const socket = await session.probe();
      socket.send("5");
      await answersOn(socket);
      await socket.close();
    });
    named("the end of polling ends the trial", async () => {
      const session = await open();
      const socket = await session.probe();
      await session.post(version === 4 ? "1" : "1:1").catch(() => {});
      await socket.closed();
      await session.over();
    });
    named("binary after it", async () => {
      const session = await open();
      const socket = await session.probe();
      socket.send("5");
      const message = version === 4 ? Buffer.from([1, 2, 3]) : Buffer.from([4, 1, 2, 3]);
      socket.send(message);
      assert.deepEqual(await next(socket), message);
      await socket.close();
    });
    named("the heartbeat goes on", async () => {
      const session = await open();
      const socket = await session.probe();
      socket.send("5");
      for (let round = 0; round < 3; round += 1) {
        if (version === 4) {
          assert.equal(await socket.next(), "2");
          socket.send("3");
        } else {
          socket.send("2");
          assert.equal(await socket.next(), "3");
        }
      }
      await socket.close();
    });
    named("the end of the websocket is the end of the session", async () => {
      const session = await open();
      const socket = await session.probe();
      socket.send("5");
      await answersOn(socket);
      await socket.close();
      await session.over();
    });
    named("a session that began as a websocket has none", async () => {
      const session = await Direct.open(base, PATH, { version });
      const second = new Socket(`${base}${PATH}?EIO=${version}&transport=websocket&sid=${session.open.sid}`);
      await second.opened;
      session.send("4still here");
      assert.equal(await session.next(), "4still here");
      assert.deepEqual(second.frames, []);
      await session.close();
    });
  }
}
