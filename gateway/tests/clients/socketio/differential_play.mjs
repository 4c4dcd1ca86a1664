// Plays a script against a server and writes down what came back, without what may differ from run to run.
//
// After each step come two markers that any server answers in any state: what came before the second one's answer belongs
// to the step. A step that closes the connection ends the script.

import { within } from "./cases.mjs";
import { Direct, Polling, Socket, ask, askOrCut, split3, split4 } from "./wire.mjs";

const PATIENCE = 2000;

export async function play(base, script) {
  try {
    const kinds = { socket: onSocket, polling: onPolling, request: oneRequest, trial: onTrial };
    return await within(kinds[script.kind](base, script), 30_000, "the script");
  } catch (error) {
    return [`failed: ${error.message}`];
  }
}

/** A frame as it is compared. */
export function normal(frame) {
  if (Buffer.isBuffer(frame)) return `<${frame.toString("hex")}>`;
  // The ids of a server's questions are its own business.
  const masked = frame.replace(/"sid":"[^"]*"/, '"sid":"*"').replace(/^(4[25][^"[]*?)\d+(\["question")/, "$1*$2");
  const [, head, json] = /^(4[0-6][^[{"]*)([[{"][^]*)$/.exec(masked) ?? [];
  if (head === undefined) return masked;
  try {
    return head + JSON.stringify(JSON.parse(json));
  } catch {
    return masked;
  }
}

const marker = (engine, name) => (engine ? `4${name}` : `40/${name},`);
const marked = (engine, name) => (frame) => (engine ? frame === `4${name}` : String(frame).startsWith(`44/${name},`));

async function onSocket(base, { version, path, query = "", steps }) {
  const session = await Direct.open(base, path, { version, query, beats: true });
  const engine = path === "/engine.io/";
  const transcript = [];
  let marks = 0;
  try {
    for (const step of steps) {
      const came = [];
      transcript.push(came);
      for (const frame of step) session.send(frame);
      for (let twice = 0; twice < 2; twice += 1) {
        const name = `mark-${marks++}`;
        session.send(marker(engine, name));
        const isMark = marked(engine, name);
        for (;;) {
          const frame = await session.next();
          if (isMark(frame)) break;
          came.push(normal(frame));
        }
      }
    }
    await session.close();
    return transcript;
  } catch (error) {
    if (!session.socket.ended) throw error;
    transcript.at(-1).push("closed");
    return transcript;
  } finally {
    session.socket.cut();
  }
}

async function onPolling(base, { version, path, query = "", bodies }) {
  const session = await Polling.open(base, path, { version, query });
  const engine = path === "/engine.io/";
  const transcript = [];
  const came = [];
  for (const { body, type = "text/plain;charset=UTF-8" } of bodies) {
    const answer = await askOrCut(session.url, { method: "POST", body, headers: { "content-type": type } });
    // One server cuts a request that ends its session, another answers it.
    transcript.push(answer.status === 200 ? 200 : "refused");
  }
  for (const name of ["mark-a", "mark-b"]) {
    const packet = marker(engine, name);
    const { status } = await askOrCut(session.url, {
      method: "POST", body: version === 3 ? `${packet.length}:${packet}` : packet,
    });
    // Whether an upload that ends its session is answered with 200, with 400 or not at all is left to the server.
    if (status !== 200) return [...came, "closed"];
    const isMark = marked(engine, name);
    for (let found = false; !found; ) {
      const packet = await session.next();
      found = isMark(packet);
      if (!found) came.push(normal(packet));
    }
  }
  return [...transcript, ...came];
}

async function oneRequest(base, { target, method, headers, upgrade }) {
  if (upgrade) {
    const socket = new Socket(base + target);
    const { status, text } = await socket.opened;
    if (status !== 101) return [status, text];
    // One that was taken by mistake is closed without a word.
    const first = await socket.next(PATIENCE).catch(() => "closed");
    socket.cut();
    return first === "closed" ? [400, "closed"] : [101, first.replace(/"sid":"[^"]*"/, '"sid":"*"')];
  }
  const answer = await ask(base + target, { method, headers });
  // What browsers may is said to browsers only, or to everybody.
  const named = ["content-type", ...(headers?.origin ? ["access-control-allow-origin", "access-control-allow-credentials"] : [])];
  const shown = named.map((name) => (answer.headers[name] ?? "").toLowerCase());
  return [answer.status, ...shown, answer.text.replace(/"sid":"[^"]*"/, '"sid":"*"')];
}

/** Frames on a WebSocket that is on trial, and whether polling goes on. */
async function onTrial(base, { version, frames }) {
  const session = await Polling.open(base, "/engine.io/", { version });
  const socket = new Socket(session.socketUrl);
  await socket.opened;
  const transcript = [];
  for (const frame of frames) socket.send(frame);
  socket.send("4mark");
  try {
    for (let frame = ""; frame !== "4mark"; ) {
      frame = await socket.next(PATIENCE);
      if (frame !== "2") transcript.push(normal(frame));
    }
    const { status } = await ask(session.url);
    return [...transcript, `polling: ${status}`];
  } catch {
    transcript.push("closed");
  } finally {
    socket.cut();
  }
  const body = version === 3 ? "6:4polls" : "4polls";
  const { status } = await session.post(body);
  if (status !== 200) return [...transcript, "over"];
  for (;;) {
    const { status, bytes, text } = await session.get();
    if (status !== 200) return [...transcript, "over"];
    if ((version === 3 ? split3(bytes) : split4(text)).includes("4polls")) return [...transcript, "polls"];
  }
}
