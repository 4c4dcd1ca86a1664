// The handshake, its refusals, and what browsers ask before it.

import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "./cases.mjs";
import { Direct, Polling, Socket, ask } from "./wire.mjs";

const PATHS = ["/engine.io/", "/socket.io/"];
const KEYS = ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"];

export function handshakes(base) {
  const refused = ({ status, headers, text }, code, message) => {
    assert.equal(status, 400, text);
    assert.match(headers["content-type"], /^application\/json/);
    assert.deepEqual(JSON.parse(text), { code, message });
  };
  const opened = (open, upgrades) => {
    assert.deepEqual(Object.keys(open), KEYS);
    assert.match(open.sid, /^[A-Za-z0-9_-]{16,}$/);
    assert.deepEqual({ ...open, sid: "" }, {
      sid: "", upgrades, pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000,
    });
  };

  for (const path of PATHS) {
    const engine = `${base}${path}`;
    test(`handshake ${path} by polling`, async () => {
      const session = await Polling.open(base, path);
      opened(session.open, ["websocket"]);
      const { headers, text } = session.answer;
      assert.equal(headers["content-type"].toLowerCase(), "text/plain; charset=utf-8");
      assert.equal(headers["cache-control"], "no-store");
      assert.equal(text, `0${JSON.stringify(session.open)}`);
      const other = await Polling.open(base, path, { query: "&t=abc&b64=1&foo=bar" });
      assert.notEqual(other.open.sid, session.open.sid);
    });
    test(`handshake ${path} by websocket`, async () => {
      const session = await Direct.open(base, path);
      opened(session.open, []);
      await session.close();
    });
    test(`handshake ${path} without the last slash`, async () => {
      const short = path.replace(/\/$/, "");
      opened((await Polling.open(base, short)).open, ["websocket"]);
      const session = await Direct.open(base, short);
      opened(session.open, []);
      await session.close();
    });
    test(`handshake ${path} with an empty sid is a new one`, async () => {
      opened((await Polling.open(base, path, { query: "&sid=" })).open, ["websocket"]);
    });
    test(`refusals ${path}: unknown transport`, async () => {
      for (const query of ["EIO=4", "EIO=4&transport=abc", "EIO=4&transport=", "EIO=3&transport=webtransport"]) {
        refused(await ask(`${engine}?${query}`), 0, "Transport unknown");
      }
    });
    test(`refusals ${path}: JSONP is an unknown transport`, async () => {
      refused(await ask(`${engine}?EIO=3&transport=polling&j=0`), 0, "Transport unknown");
    });
    test(`refusals ${path}: unknown session`, async () => {
      for (const sid of ["abc", "__proto__", "constructor", "%00", "x".repeat(3000)]) {
        const url = `${engine}?EIO=4&transport=polling&sid=${sid}`;
        refused(await ask(url), 1, "Session ID unknown");
        refused(await ask(url, { method: "POST", body: "4hello" }), 1, "Session ID unknown");
      }
    });
    test(`refusals ${path}: a handshake is a GET`, async () => {
      for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
        refused(await ask(`${engine}?EIO=4&transport=polling`, { method }), 2, "Bad handshake method");
      }
      const { status, text } = await ask(`${engine}?EIO=4&transport=polling`, { method: "HEAD" });
      assert.deepEqual([status, text], [400, ""]);
    });
    test(`refusals ${path}: a websocket without an upgrade`, async () => {
      refused(await ask(`${engine}?EIO=4&transport=websocket`), 3, "Bad request");
    });
    test(`refusals ${path}: no version, or an unknown one`, async () => {
      for (const version of ["", "EIO=&", "EIO=abc&", "EIO=2&", "EIO=5&", "EIO=44&", "eio=4&"]) {
        refused(await ask(`${engine}?${version}transport=polling`), 5, "Unsupported protocol version");
      }
    });
    test(`refusals ${path}: the transport counts before the method, the method before the version`, async () => {
      refused(await ask(`${engine}?EIO=9&transport=abc`, { method: "POST" }), 0, "Transport unknown");
      refused(await ask(`${engine}?EIO=9&transport=polling`, { method: "POST" }), 2, "Bad handshake method");
    });
    test(`refusals ${path}: of a websocket`, async () => {
      const cases = [
        ["EIO=4", /Transport unknown/], ["EIO=4&transport=abc", /Transport unknown/],
        ["EIO=4&transport=websocket&sid=abc", /Session ID unknown/],
        ["transport=websocket", /Unsupported protocol version/],
        ["EIO=abc&transport=websocket", /Unsupported protocol version/],
      ];
      for (const [query, message] of cases) {
        const { status, text } = await new Socket(`${engine}?${query}`).opened;
        // The reference finds the version only after it has taken the WebSocket.
        if (status === 101 && /version/.test(String(message))) continue;
        assert.equal(status, 400, query);
        assert.match(text, message);
      }
    });
    test(`refusals ${path}: a websocket that names polling opens no session`, async () => {
      const socket = new Socket(`${engine}?EIO=4&transport=polling`);
      if ((await socket.opened).status === 101) await socket.closed();
      assert.deepEqual(socket.frames, []);
    });
    test(`browsers ${path}: any origin is echoed, with credentials`, async () => {
      const headers = { origin: "https://chat.example" };
      const { headers: answer } = await ask(`${engine}?EIO=4&transport=polling`, { headers });
      assert.equal(answer["access-control-allow-origin"], "https://chat.example");
      assert.equal(answer["access-control-allow-credentials"], "true");
      assert.match(answer.vary, /\borigin\b/i);
      // A page must be able to read why it was refused.
      const { headers: refusal } = await ask(`${engine}?EIO=4&transport=abc`, { headers });
      assert.equal(refusal["access-control-allow-origin"], "https://chat.example");
    });
    test(`browsers ${path}: preflight`, async () => {
      const headers = {
        origin: "https://chat.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
      };
      const { status, headers: answer, text } = await ask(`${engine}?EIO=4&transport=polling`, {
        method: "OPTIONS", headers,
      });
      assert.deepEqual([status, text], [204, ""]);
      assert.equal(answer["access-control-allow-origin"], "https://chat.example");
      assert.equal(answer["access-control-allow-credentials"], "true");
      for (const method of ["GET", "POST"]) assert.ok(answer["access-control-allow-methods"].includes(method));
      const allowed = answer["access-control-allow-headers"].toLowerCase();
      for (const header of ["authorization", "content-type"]) assert.ok(allowed.includes(header), allowed);
    });
    test(`browsers ${path}: POST and GET of a session are readable by its page`, async () => {
      const headers = { origin: "https://chat.example" };
      const session = await Polling.open(base, path, { headers });
      const { headers: posted } = await session.post("3", headers);
      assert.equal(posted["access-control-allow-origin"], "https://chat.example");
      const { headers: polled } = await session.get({ headers });
      assert.equal(polled["access-control-allow-origin"], "https://chat.example");
    });
    test(`browsers ${path}: without an Origin nothing is allowed to any`, async () => {
      const { headers } = await ask(`${engine}?EIO=4&transport=polling`);
      assert.notEqual(headers["access-control-allow-origin"], "*");
      assert.equal(headers["set-cookie"], undefined);
    });
    test(`refusals ${path}: a request that cannot be read is answered and closed`, async () => {
      const answers = [];
      for (const origin of ["http://a\x01b", "http://a\x7fb"]) {
        const head = `GET ${path}?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nOrigin: ${origin}\r\n`;
        answers.push(await raw(base, `${head}Connection: close\r\n\r\n`));
      }
      for (const answer of answers) assert.match(answer, /^HTTP\/1\.1 400 /);
    });
  }

  test("another path is not there", async () => {
    assert.equal((await ask(`${base}/other.io/?EIO=4&transport=polling`)).status, 404);
    assert.equal((await new Socket(`${base}/other.io/?EIO=4&transport=websocket`).opened).status, 404);
  });
}

/** What comes back for these bytes, until the server closes. */
function raw(base, bytes) {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    let text = "";
    socket.on("data", (chunk) => (text += chunk));
    socket.on("error", reject).on("close", () => resolve(text));
  });
}
