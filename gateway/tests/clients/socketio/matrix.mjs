// The real JavaScript clients, five versions of them over each of their transports, against a server that does what the
// example `socketio_echo` does.
//
//     node matrix.mjs http://127.0.0.1:3000 | -- COMMAND …
//
// A server that this program started it also restarts under its clients. UPGRADES: how many connections go from polling
// to a WebSocket with traffic both ways (1,000). ONLY=WORD runs the cases with that word.

import assert from "node:assert/strict";
import { runAll, test, until, within } from "./cases.mjs";
import { connectedClient, loads } from "./matrix_client.mjs";
import { Pulse } from "./pulse.mjs";
import { Serving } from "./serving.mjs";

const UPGRADES = Number(process.env.UPGRADES ?? 1000);
const bytes = Buffer.from([0, 1, 2, 254, 255]);
const serving = await Serving.from(process.argv.slice(2), "node matrix.mjs");
const pulse = new Pulse(serving.url);

const TRANSPORTS = { "polling then upgrade": ["polling", "websocket"], polling: ["polling"], websocket: ["websocket"] };
const CLIENTS = ["4.8.4", "4.8.1", "3.1.3", "2.5.0", "2.3.1"];

for (const version of CLIENTS) {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    everything(`socket.io-client ${version}, ${name}`, loads(version, transports));
  }
}
for (const version of ["4.8.4", "3.1.3", "2.5.0", "2.3.1"]) {
  upgrading(`socket.io-client ${version}`, loads(version, ["polling", "websocket"]), UPGRADES);
}

function everything(name, client) {
  const open = (namespace, options) => connectedClient(client, serving.url + namespace, options);

  test(`${name}: connects, and is told what it brought`, async () => {
    const socket = await open("/custom", { token: "abc" });
    assert.deepEqual(await socket.event("auth"), [{ token: "abc" }]);
    socket.end();
  });
  test(`${name}: is refused`, async () => {
    for (const token of [undefined, "wrong"]) {
      const socket = client.open(`${serving.url}/protected`, token === undefined ? {} : { token });
      const error = await within(socket.refused, 10_000, "the refusal");
      const data = { code: "E_AUTH", retry: false };
      if (client.version >= 3) {
        assert.equal(error.message, "Not authorized");
        assert.deepEqual(error.data, data);
      } else {
        assert.deepEqual(error, data);
      }
      assert.equal(socket.connected, false);
      socket.end();
    }
    const socket = client.open(`${serving.url}/nowhere`, {});
    const error = await within(socket.refused, 10_000, "the refusal");
    assert.match(JSON.stringify(error.message ?? error), /Invalid namespace/);
    socket.end();
  });
  test(`${name}: is let in with its token`, async () => {
    const socket = await open("/protected", { token: "let-me-in" });
    assert.deepEqual(await socket.event("auth"), [{ token: "let-me-in" }]);
    socket.end();
  });
  test(`${name}: events`, async () => {
    const socket = await open("/", {});
    for (const args of [[], [1], ["é 😀", { a: [1, null, { b: true }] }, []], ["x".repeat(50_000)], [""]]) {
      socket.emit("message", ...args);
      assert.deepEqual(await socket.event("message-back"), args);
    }
    socket.end();
  });
  test(`${name}: acks both ways`, async () => {
    const socket = await open("/", {});
    for (const args of [[], ["x"], [1, { a: [2] }]]) {
      assert.deepEqual(await socket.ask("message-with-ack", ...args), args);
      socket.answers = (...question) => ["answer", ...question];
      socket.emit("ask-me", ...args);
      assert.deepEqual(await socket.event("answer-was"), ["answer", ...args]);
    }
    socket.end();
  });
  test(`${name}: binary both ways`, async () => {
    const socket = await open("/", {});
    const args = ["x", bytes, { deep: [Buffer.from("abc"), { deeper: Buffer.alloc(70_000, 7) }] }, 5];
    socket.emit("message", ...args);
    assert.deepEqual(await socket.event("message-back"), args);
    assert.deepEqual(await socket.ask("message-with-ack", ...args), args);
    socket.answers = (...question) => [bytes, ...question];
    socket.emit("ask-me", ...args);
    assert.deepEqual(await socket.event("answer-was"), [bytes, ...args]);
    const ten = Array.from({ length: 10 }, (_, i) => Buffer.alloc(i + 1, i));
    socket.emit("message", ...ten);
    assert.deepEqual(await socket.event("message-back"), ten);
    socket.end();
  });
  test(`${name}: many messages stay in order`, async () => {
    const socket = await open("/", {});
    for (let i = 0; i < 500; i += 1) socket.emit("message", i, i % 7 === 0 ? Buffer.from([i % 256]) : i);
    for (let i = 0; i < 500; i += 1) {
      assert.deepEqual(await socket.event("message-back"), [i, i % 7 === 0 ? Buffer.from([i % 256]) : i]);
    }
    socket.end();
  });
  test(`${name}: namespaces at once on one connection`, async () => {
    const manager = client.manager(serving.url, { token: "let-me-in" });
    const sockets = ["/", "/custom", "/protected"].map((namespace) => manager.open(namespace, { token: "let-me-in" }));
    await Promise.all(sockets.map((socket) => within(socket.opened, 10_000, "joining")));
    await Promise.all(sockets.map(async (socket, n) => {
      for (let i = 0; i < 50; i += 1) assert.deepEqual(await socket.ask("message-with-ack", n, i), [n, i]);
    }));
    sockets[1].emit("kick-me");
    assert.equal(await within(sockets[1].left, 10_000, "being kicked"), "io server disconnect");
    assert.deepEqual(await sockets[0].ask("message-with-ack", "alive"), ["alive"]);
    assert.deepEqual(await sockets[2].ask("message-with-ack", "alive"), ["alive"]);
    for (const socket of sockets) socket.end();
  });
  test(`${name}: leaving one namespace leaves the others`, async () => {
    const manager = client.manager(serving.url, {});
    const [root, custom] = ["/", "/custom"].map((namespace) => manager.open(namespace, {}));
    await Promise.all([root, custom].map((socket) => within(socket.opened, 10_000, "joining")));
    custom.socket.disconnect();
    assert.deepEqual(await root.ask("message-with-ack", "alive"), ["alive"]);
    custom.end();
    root.end();
  });
  test(`${name}: kicked out, it stays away until it is told to come back`, async () => {
    const socket = await open("/custom", {});
    socket.emit("kick-me");
    assert.equal(await within(socket.left, 10_000, "being kicked"), "io server disconnect");
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(socket.connected, false);
    const again = socket.again();
    socket.socket.connect();
    await within(again, 10_000, "coming back");
    assert.deepEqual(await socket.ask("message-with-ack", 1), [1]);
    socket.end();
  });
  test(`${name}: cut off, it comes back by itself`, async () => {
    const socket = await open("/custom", { token: "x" });
    assert.deepEqual(await socket.event("auth"), [{ token: "x" }]);
    const again = socket.again();
    socket.emit("cut-me");
    const reason = await within(socket.left, 10_000, "being cut off");
    assert.ok(["transport close", "transport error"].includes(reason), reason);
    await within(again, 10_000, "coming back");
    assert.deepEqual(await socket.event("auth"), [{ token: "x" }]);
    assert.deepEqual(await socket.ask("message-with-ack", 1), [1]);
    socket.end();
  });
  test(`${name}: idle, the heartbeat keeps it`, async () => {
    const socket = await open("/", {});
    let left = null;
    socket.left.then((reason) => (left = reason));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(left, null);
    socket.end();
  });
}

/** Numbers go both ways all the time while connections change their transport; each comes once, in its place. */
function upgrading(name, client, times) {
  test(`${name}: ${times} upgrades under traffic lose, repeat and reorder nothing`, async () => {
    let [upgraded, stalled, numbers] = [0, 0, 0];
    const one = async () => {
      const began = performance.now();
      const socket = client.open(serving.url, {});
      let left = null;
      socket.left.then((reason) => (left = reason));
      try {
        await within(socket.opened, 10_000, "connecting");
        let [sent, back, acked, beyond] = [0, 0, 0, 0];
        socket.socket.on("message-back", (n) => assertNext(n, back++, "back"));
        while (beyond < 10) {
          assert.equal(left, null);
          for (let burst = 0; burst < 4; burst += 1) {
            const n = sent++;
            socket.emit("message", n);
            socket.socket.emit("message-with-ack", n, (answer) => {
              assertNext(answer, n, "the ack's argument");
              assertNext(answer, acked++, "acked");
            });
          }
          if (socket.transport === "websocket") beyond += 1;
          assert.ok(sent < 20_000, "never upgraded");
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        await until(() => left !== null || (back >= sent && acked >= sent), () => `${back} back and ${acked} acked of ${sent}`);
        assert.equal(left, null);
        assert.deepEqual([back, acked], [sent, sent]);
        if (failure) throw failure;
        upgraded += 1;
        numbers += sent;
      } catch (error) {
        if (left === null || !pulse.stalledSince(began)) throw error;
        stalled += 1;
      } finally {
        socket.end();
      }
    };
    let failure = null;
    function assertNext(found, expected, what) {
      if (found !== expected) failure ??= new Error(`${what}: ${found} instead of ${expected}`);
    }
    while (upgraded < times) {
      await Promise.all(Array.from({ length: Math.min(10, times - upgraded) }, one));
      if (failure) throw failure;
      assert.ok(stalled <= times + 50, `${stalled} lost to a busy machine, ${upgraded} upgraded`);
    }
    assert.ok(numbers >= 10 * times);
    return `${numbers} numbers, ${stalled} connections lost to a busy machine`;
  });
}

const code = await runAll({ together: 3, limit: 300_000, pulse });
const restarts = serving.owned && !process.env.ONLY ? await restarting() : 0;
await serving.end();
process.exit(code || restarts);

/** All clients at once, and their server goes and comes again: by a signal that it can heed, and by one that it cannot. */
async function restarting() {
  const all = CLIENTS.flatMap((version) => Object.entries(TRANSPORTS).map(([name, transports]) => ({
    name: `socket.io-client ${version}, ${name}`, client: loads(version, transports),
  })));
  let failed = 0;
  for (const signal of ["SIGTERM", "SIGKILL"]) {
    const sockets = await Promise.all(all.map(({ client }) => connectedClient(client, `${serving.url}/custom`, { token: "t" })));
    const back = sockets.map((socket) => socket.again());
    await serving.restart(signal);
    for (const [n, { name }] of all.entries()) {
      const line = `${name}: comes back after a restart by ${signal}`;
      try {
        await within(back[n], 20_000, "coming back");
        assert.deepEqual(await sockets[n].ask("message-with-ack", "again"), ["again"]);
        console.log(`ok ${line}`);
      } catch (error) {
        failed = 1;
        console.log(`FAIL ${line}: ${error.message.replace(/\s*\n\s*/g, " ")}`);
      }
      sockets[n].end();
    }
  }
  return failed;
}
