// The same frames to the reference and to another server: what they answer must be the same.
//
//     node differential.mjs http://127.0.0.1:3000 | -- COMMAND …
//
// SEED (1) and ROUNDS (1) choose the mutations; the same numbers are the same frames. Each difference is printed with
// what was sent; those that are meant are listed in differential_accepted.mjs with their reasons, and counted.
// Masked: ids of sessions and sockets. Left out: heartbeats, codes of close frames, how packets are divided among polls.
// JSON is compared by value, since one server may write it again and another pass it on as it came.

import { ACCEPTED } from "./differential_accepted.mjs";
import { scripts } from "./differential_scripts.mjs";
import { play } from "./differential_play.mjs";
import { Serving } from "./serving.mjs";

const serving = await Serving.from(process.argv.slice(2), "node differential.mjs");
const reference = await Serving.from(["--", process.execPath, new URL("reference.mjs", import.meta.url).pathname]);

const waiting = scripts(Number(process.env.SEED ?? 1), Number(process.env.ROUNDS ?? 1));
const all = waiting.length;
const accepted = new Map();
let different = 0;

async function both(script) {
  return Promise.all([reference, serving].map(({ url }) => play(url, script)));
}

async function runner() {
  for (let script = waiting.shift(); script; script = waiting.shift()) {
    let [theirs, ours, rule] = [[], [], null];
    // A difference counts when it stays: a machine that stood still cuts connections on one side only.
    for (let tries = 0; tries < 6; tries += 1) {
      [theirs, ours] = await both(script);
      rule = same(theirs, ours) ? null : ACCEPTED.find(({ when }) => when(script, theirs, ours));
      if (same(theirs, ours) || rule) break;
    }
    if (same(theirs, ours)) continue;
    if (rule) {
      accepted.set(rule.reason, (accepted.get(rule.reason) ?? 0) + 1);
      if (process.env.SHOW) console.log(`accepted (${rule.reason}) ${told(script)}`);
      continue;
    }
    different += 1;
    console.log(`DIFFERENT ${told(script)}\n  reference: ${told(theirs)}\n  server:    ${told(ours)}`);
  }
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function told(value) {
  const text = JSON.stringify(value, (_, inner) => {
    if (inner?.type === "Buffer") return `<${Buffer.from(inner.data).toString("hex").slice(0, 80)}>`;
    return typeof inner === "string" && inner.length > 200 ? `${inner.slice(0, 200)}… (${inner.length})` : inner;
  });
  return text;
}

await Promise.all(Array.from({ length: 12 }, runner));
for (const [reason, count] of accepted) console.log(`accepted ${count} times: ${reason}`);
console.log(different === 0 ? `ok ${all} scripts are answered alike` : `FAIL ${different} of ${all} scripts are answered otherwise`);
await Promise.all([serving.end(), reference.end()]);
process.exit(different === 0 ? 0 : 1);
