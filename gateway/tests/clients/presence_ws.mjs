// The presence WebSocket as JavaScript clients use it: npm's `ws`, and the WebSocket that Node has in common with
// browsers (Node 22, or Node 20 with --experimental-websocket).
//
//     TOKEN_A=… TOKEN_B=… TOKEN_EXPIRED=… TOKEN_BAD=… node presence_ws.mjs ws://127.0.0.1:8080/api/v1
//
// A and B are two users who are not online otherwise. Prints a line for each case; the exit code is 0 when all passed.
// OFFLINE_WITHIN: seconds until a user who left must be offline (the grace and a second; 7 by default).

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url);
const ws = require("ws");

const base = process.argv[2];
const { TOKEN_A, TOKEN_B, TOKEN_EXPIRED, TOKEN_BAD } = process.env;
if (!base || ![TOKEN_A, TOKEN_B, TOKEN_EXPIRED, TOKEN_BAD].every(Boolean)) {
  console.error("usage: TOKEN_A=… TOKEN_B=… TOKEN_EXPIRED=… TOKEN_BAD=… node presence_ws.mjs ws://HOST:PORT/api/v1");
  process.exit(2);
}
const OFFLINE_WITHIN = 1000 * Number(process.env.OFFLINE_WITHIN ?? 7);
const PATIENCE = 5000;

const userOf = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString()).sub;
const A = userOf(TOKEN_A);
const B = userOf(TOKEN_B);

/** One connection, whichever implementation is below it: what came in, and how it ended. */
class Client {
  frames = [];
  waiting = null;
  ended = null;

  constructor(Implementation, query) {
    this.socket = new Implementation(`${base}/presence/ws${query}`);
    this.socket.binaryType = "arraybuffer";
    this.closed = new Promise((resolve) => {
      this.socket.addEventListener("close", ({ code, reason }) => {
        this.ended = { code, reason };
        resolve(this.ended);
        this.wake();
      });
    });
    // An error is followed by the close that says what happened.
    this.socket.addEventListener("error", () => {});
    this.socket.addEventListener("message", ({ data }) => {
      this.frames.push(data);
      this.wake();
    });
  }

  wake() {
    this.waiting?.();
    this.waiting = null;
  }

  send(frame) {
    this.socket.send(typeof frame === "object" && frame.constructor === Object ? JSON.stringify(frame) : frame);
  }

  /** The next frame, as JSON. */
  async next(patience = PATIENCE) {
    const until = Date.now() + patience;
    while (this.frames.length === 0) {
      assert.equal(this.ended, null, "closed instead of a frame");
      const left = until - Date.now();
      assert.ok(left > 0, `no frame within ${patience} ms`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const frame = this.frames.shift();
    assert.equal(typeof frame, "string", "a text frame");
    return JSON.parse(frame);
  }

  /** The next frames until one says of `user` what is expected; each must be about presence. */
  async presence(user, online, patience = PATIENCE) {
    const until = Date.now() + patience;
    for (;;) {
      const frame = await this.next(Math.max(1, until - Date.now()));
      assert.equal(frame.type, "presence", JSON.stringify(frame));
      const row = frame.data.users.find(({ userId }) => userId === user);
      if (row?.online === online) {
        assert.equal(row.status, online ? "online" : "offline");
        if (row.lastSeen !== null) assertTime(row.lastSeen);
        return row;
      }
    }
  }

  async end(patience = PATIENCE) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not closed within ${patience} ms`)), patience);
    });
    try {
      return await Promise.race([this.closed, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async leave() {
    this.socket.close(1000);
    return this.end();
  }
}

function assertTime(text) {
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
}

function assertError(frame) {
  assert.deepEqual(Object.keys(frame).sort(), ["data", "type"]);
  assert.equal(frame.type, "error");
  assert.deepEqual(Object.keys(frame.data).sort(), ["code", "message"]);
  assert.match(frame.data.code, /^[A-Z_]+$/);
  assert.ok(frame.data.message.length > 0);
}

async function connect(Implementation, token, user) {
  const client = new Client(Implementation, `?token=${token}`);
  assert.deepEqual(await client.next(), { type: "connected", data: { userId: user, status: "online" } });
  return client;
}

/** Cases take an implementation and run one after the other. */
const cases = {
  async "connected is the first frame"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    assert.equal((await client.leave()).code, 1000);
  },

  async "a heartbeat is acknowledged with the time"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    for (const frame of [{ type: "heartbeat", activity: true }, { type: "heartbeat", activity: false }, { type: "heartbeat" }]) {
      client.send(frame);
      const ack = await client.next();
      assert.deepEqual(Object.keys(ack).sort(), ["data", "type"]);
      assert.equal(ack.type, "heartbeat_ack");
      assert.deepEqual(Object.keys(ack.data), ["timestamp"]);
      assertTime(ack.data.timestamp);
      assert.ok(Math.abs(Date.parse(ack.data.timestamp) - Date.now()) < 60_000, "the server's time is now");
    }
    await client.leave();
  },

  async "a ping is answered by a pong without data"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    client.send({ type: "ping" });
    assert.deepEqual(await client.next(), { type: "pong" });
    await client.leave();
  },

  async "what is not understood gets an error, and the connection goes on"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    for (const frame of [{ type: "no-such-type" }, {}, { type: 7 }, "not JSON", "[]", "", new Uint8Array([1, 2, 3])]) {
      client.send(frame);
      assertError(await client.next());
    }
    client.send({ type: "ping" });
    assert.deepEqual(await client.next(), { type: "pong" });
    await client.leave();
  },

  async "what an API of later days adds to a frame is no error"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    client.send({ type: "ping", id: 1, data: { deep: [{}] } });
    assert.deepEqual(await client.next(), { type: "pong" });
    await client.leave();
  },

  async "a bad token, an expired one, an empty one and none get an error and 4401"(Implementation) {
    for (const query of [`?token=${TOKEN_BAD}`, `?token=${TOKEN_EXPIRED}`, "?token=", "", "?token=x.y.z"]) {
      const client = new Client(Implementation, query);
      assertError(await client.next());
      assert.equal((await client.end()).code, 4401, `with ${query.slice(0, 20)}`);
      assert.equal(client.frames.length, 0);
    }
  },

  async "who subscribes sees others come and go"(Implementation) {
    const watcher = await connect(Implementation, TOKEN_A, A);
    watcher.send({ type: "subscribe", userIds: [B] });
    // The answer and the state at once may come in either order.
    const first = [await watcher.next(), await watcher.next()];
    assert.deepEqual(first.map(({ type }) => type).sort(), ["presence", "subscribed"]);
    // A case before this one may have left B in its grace.
    const [state] = first.find(({ type }) => type === "presence").data.users;
    assert.equal(state.userId, B);
    if (state.online) await watcher.presence(B, false, OFFLINE_WITHIN);

    const other = await connect(Implementation, TOKEN_B, B);
    await watcher.presence(B, true);
    await other.leave();
    await watcher.presence(B, false, OFFLINE_WITHIN);

    watcher.send({ type: "unsubscribe", userIds: [B] });
    assert.deepEqual(await watcher.next(), { type: "unsubscribed" });
    const again = await connect(Implementation, TOKEN_B, B);
    await again.leave();
    watcher.send({ type: "ping" });
    assert.deepEqual(await watcher.next(), { type: "pong" }, "no presence after unsubscribe");
    await watcher.leave();
  },

  async "a bad subscription gets an error"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    for (const userIds of [[], [""], "not a list", [7], ["x".repeat(300)]]) {
      client.send({ type: "subscribe", userIds });
      assertError(await client.next());
    }
    await client.leave();
  },

  async "a logout is a close"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    client.send({ type: "logout" });
    assert.equal((await client.end()).code, 1000);
  },

  async "a frame of 64 KiB is taken and a longer one closes with 1009"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    const padded = (length) => {
      const frame = JSON.stringify({ type: "ping", pad: "" });
      return frame.replace('""', `"${"x".repeat(length - frame.length)}"`);
    };
    client.send(padded(65_536));
    assert.deepEqual(await client.next(), { type: "pong" });
    client.send(padded(65_537));
    assert.equal((await client.end()).code, 1009);
  },
};

/** What only `ws` lets one do or see. */
const casesOfWs = {
  async "a ping of the protocol is answered with its payload"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    const payload = await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("no pong")), PATIENCE).unref();
      client.socket.on("pong", resolve);
      client.socket.ping("still there?");
    });
    assert.equal(payload.toString(), "still there?");
    await client.leave();
  },

  async "fragments are put together"(Implementation) {
    const client = await connect(Implementation, TOKEN_A, A);
    client.socket.send('{"type":', { fin: false });
    client.socket.ping();
    client.socket.send('"pi', { fin: false });
    client.socket.send('ng"}', { fin: true });
    assert.deepEqual(await client.next(), { type: "pong" });
    await client.leave();
  },
};

const implementations = [["ws", ws.WebSocket, { ...cases, ...casesOfWs }]];
if (typeof WebSocket === "function") {
  implementations.push(["built-in", WebSocket, cases]);
} else {
  console.error("this Node has no WebSocket of its own: take Node 22, or --experimental-websocket with Node 20");
  process.exit(2);
}

let number = 0;
let failed = 0;
for (const [name, Implementation, all] of implementations) {
  for (const [title, attempt] of Object.entries(all)) {
    number += 1;
    try {
      await attempt(Implementation);
      console.log(`ok ${number} - ${name}: ${title}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok ${number} - ${name}: ${title}`);
      console.log(`  ${String(error.stack ?? error).replaceAll("\n", "\n  ")}`);
    }
  }
}
console.log(`1..${number}`);
console.log(`# ${number - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
