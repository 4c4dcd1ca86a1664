// What a parked long poll costs: opens so many sessions on long-polling, leaves a poll of each waiting, and reads the
// server's memory (Pss) before and after.
//
//     node parked.mjs URL PID COUNT [TOKEN]
//
// Each session has one TCP connection, as a browser keeps one for its poll. Ends by itself.

import { readFileSync } from "node:fs";
import http from "node:http";

const [url, pid, count, token = ""] = process.argv.slice(2);
const base = new URL(`/socket.io/?EIO=4&transport=polling${token && `&token=${token}`}`, url);

function pss() {
  const line = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+) kB/m);
  return Number(line[1]) * 1024;
}

function ask(agent, method, query, body) {
  return new Promise((resolve, reject) => {
    const target = new URL(base.href + query);
    const request = http.request(target, { method, agent, headers: body ? { "content-type": "text/plain", "content-length": body.length } : {} });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("end", () => (response.statusCode === 200 ? resolve(text) : reject(new Error(`${response.statusCode} ${text}`))));
    });
    request.end(body);
  });
}

async function park() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const { sid } = JSON.parse((await ask(agent, "GET", "")).slice(1));
  await ask(agent, "POST", `&sid=${sid}`, "40");
  const joined = await ask(agent, "GET", `&sid=${sid}`);
  if (!joined.startsWith("40")) throw new Error(joined);
  // This one waits until the next ping.
  ask(agent, "GET", `&sid=${sid}`).catch(() => {});
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 3000));
await settled();
const before = pss();
for (let at = 0; at < Number(count); at += 100) {
  await Promise.all(Array.from({ length: Math.min(100, Number(count) - at) }, park));
}
await settled();
const each = (pss() - before) / Number(count);
console.log(JSON.stringify({ sessions: Number(count), before, after: pss(), bytes_per_session: Math.round(each) }));
process.exit(0);
