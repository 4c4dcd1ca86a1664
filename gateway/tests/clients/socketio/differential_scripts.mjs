// What is sent: good frames, odd ones, bad ones, and mutations of them all that a seed decides.

const bytes = Buffer.from([1, 2, 3, 4]);
const place = (num) => `{"_placeholder":true,"num":${num}}`;

/** Packets of Socket.IO behind `/` and `/custom`, which are joined. */
const PACKETS = [
  ['42["message",1]'], ['42/custom,["message","x",{"a":[1,2,{}]}]'], ['4212["message-with-ack","é",null]'],
  ['42/custom,3["message-with-ack"]'], ['42["nobody",1]'], ["42[7,1]"], ['42["ask-me",1]'], ['42["kick-me"]'],
  ['42/custom,["kick-me"]'], ['42["cut-me"]'], ["41"], ["41/custom,"], ["41/custom"], ["40"], ["40/custom"],
  ["40/protected,"], ['40/protected,{"token":"let-me-in"}'], ['40/random,{"a":1}'], ['43["x"]'], ["4399[1]"], ["430[]"],
  ['44{"message":"x"}'], ['44/custom,"x"'], ["4"], ["42"], ["42[]"], ["43"], ["435"], ["42null"], ["42{}"], ['42["connect"]'],
  ['42["disconnect",1]'], ['42["newListener"]'], ['42["__proto__",1]'], ['42["error",1]'], ['42["message",1]trailing'],
  ['42 ["message",1]'], ['42["message", 1 ]'], ['42["\\u006dessage",1]'], ['42["message",1e3,-0,0.10]'],
  ['42["message",{"a":1,"a":2}]'], ['42["message","\\ud83d"]'], ['42["message",1.0000000000000000001]'], ['42/,["message",1]'],
  ['42/custom["message"]'], ['42//custom,["message"]'], ['42/custom,,["message"]'], ['4200012["message-with-ack"]'],
  ['429007199254740991["message-with-ack"]'], ['42 1["message-with-ack"]'], ['42+1["message-with-ack"]'], ["40/custom,null"],
  ["40null"], ['40/random?a=b,'], ["49"], ["4a"], ["41null"], ["41[]"], ["46"], ["45"], ["450-"],
  [`451-["message",${place(0)}]`, bytes], [`452-["message",${place(0)},{"a":${place(1)}}]`, bytes, Buffer.alloc(0)],
  [`451-8["message-with-ack",${place(0)}]`, bytes], [`451-/custom,["message",${place(0)}]`, bytes],
  [`451-["message",${place(0)},${place(0)}]`, bytes], [`452-["message",${place(0)}]`, bytes, bytes],
  [`451-["message"]`, bytes], [`451-["message",${place(1)}]`, bytes], [`451-["message",${place(-1)}]`, bytes],
  [`451-["message",{"_placeholder":false,"num":0}]`, bytes], [`451-["message",{"_placeholder":true,"num":0,"x":1}]`, bytes],
  [`451-["message",{"_placeholder":true}]`, bytes], [`451-["message",${place('"0"')}]`, bytes], [`42["message",${place(0)}]`],
  ['450-["message",1]'], ['450-["message",1]', '42["message",2]'], ['4511-["message"]'], [`4510-["message"]`],
  ['451.0-["message"]', bytes], ['45 1-["message"]', bytes], ['4501-["message"]', bytes], ['451e0-["message"]', bytes],
  ["461-0[]", bytes], [`461-["x",${place(0)}]`, bytes], [bytes], ['451-["connect"]', bytes], [`451-["message",${place(0)}]`, "42[1]"],
  [`451-/nowhere,["message",${place(0)}]`, bytes], ["4\u0000"], ["4\u001e"], ["42[\"message\",\"\u001e\"]"], ["1"], ["6"], ["0"], ["5"], ["3"],
];

/** What a client says first, before it has joined anything. */
const FIRST = ["40", "40{}", '40{"token":"x"}', "40/custom", "40/custom,", '40/custom,{"a":{"b":1}}', "40/random", "40/protected",
  '40/protected,{"token":"let-me-in"}', '40/protected,{"token":"let-me-in"', "40[]", '40"x"', "401", "4012", "40null", "4", "41", "42[1]",
  '42["message"]', "43[]", "44{}", '45["x"]', "46", "47", "40/custom?token=x,", "40/custom?token=x", "40?x=1,", "40/?x=1,", "40/custom?,",
  "40/custom?a=b&a=c&d=%zz&e=+,", "40/protected?token=let-me-in,", "40/protected?token=let%2Dme-in,", "40/protected?token=no,",
  "40/Custom,", "40/custom/,", "40/custom/x,", "40 /custom,", "40,", "40/,", "40/__proto__,", '40{"__proto__":1}', "40{} ", "4 0"];

/** Engine.IO packets on a WebSocket. */
const FRAMES = ["4hello", "4", "4é 😀", "2", "2probe", "2x", "3", "3x", "0", "0{}", "1", "1x", "5", "6", "6x", "7", "a", "", " ", "4\u0000", "b",
  "bAQ==", "b4AQ==", "b4!", "b!", bytes, Buffer.alloc(0), Buffer.from([4]), Buffer.from([4, 1, 2]), Buffer.from([0x34, 1]), Buffer.from([9]),
  Buffer.from([1]), Buffer.from([2]), "\ufeff4x"];

const BODIES4 = ["4hello", "4a\x1e4b", "4a\x1ebAQID", "b", "bAQ", "bA", "b!", "", "\x1e", "4a\x1e", "\x1e4a", "4a\x1e\x1e4b", "abc", "4a\x1eabc", "3", "2",
  "5", "6", "0", "1", "4a\x1e1\x1e4b", "7", "4é😀", "6:4hello", "4a\x1e6\x1e4b", " 4a", "4a\n4b", "bAQID\x1ebBAUG", "b AQ", "bAQ=\x1e4a"];
const BODIES3 = ["6:4hello", "2:42:4x", "0:", "", "1:4", "1:2", "1:3", "1:1", "1:5", "1:6", "1:0", "1:7", "2:4x1:12:4y", "6:4hell", "abc", ":", "x:4", "-1:4", "01:4",
  "1.0:4", "2:4é", "3:4😀", "2:4😀", "3:4é", "10:b4AQIDBA==", "6:b4AQID", "2:b4", "1:b", "4:b4!!", " 2:4x", "2 :4x", "2:4x ", "99999999999:4", "1e0:4", "2:4x\n"];
const OCTETS3 = ["0006ff3468656c6c6f", "0105ff0401020304", "0006ff3468656c6c6f0105ff0401020304", "0001ff34", "0101ff04", "0100ff", "0000ff", "", "00",
  "0006", "0006ff", "0006ff34", "0209ff34", "0001ff37", "0101ff09", "000ff34", "0003ff34c3a9", "0002ff34c3", "010105ff0401020304", "0001ff310001ff34"];

export function scripts(seed, rounds) {
  const list = [];
  const joins = { 4: [["40"], ["40/custom,"]], 3: [[], ["40/custom,"]] };
  const dressed = (frame, version) => (version === 3 && Buffer.isBuffer(frame) ? Buffer.concat([Buffer.from([4]), frame]) : frame);
  const packets = (version, frames) => {
    const steps = [...joins[version], frames.map((frame) => dressed(frame, version))];
    list.push({ kind: "socket", version, path: "/socket.io/", steps });
  };
  const first = (version, frame) => list.push({ kind: "socket", version, path: "/socket.io/", steps: [[frame]] });
  const frames = (version, frame, query) => {
    list.push({ kind: "socket", version, path: "/engine.io/", query, steps: [["4before"], [frame]] });
  };
  const bodies = (version, body, options = {}) => {
    list.push({ kind: "polling", version, path: "/engine.io/", ...options, bodies: [{ body, type: options.type }] });
  };
  const random = generator(seed);
  for (const version of [4, 3]) {
    for (const packet of PACKETS) packets(version, packet);
    for (const frame of FIRST) first(version, frame);
    for (const frame of FRAMES) frames(version, frame);
    for (const frame of FRAMES) frames(version, frame, "&b64=1");
    for (const frame of FRAMES) {
      list.push({ kind: "trial", version, frames: [frame] });
      list.push({ kind: "trial", version, frames: ["2probe", frame] });
    }
    list.push({ kind: "trial", version, frames: ["2probe", "2probe", "5"] });
  }
  for (const body of BODIES4) bodies(4, body);
  for (const body of BODIES3) bodies(3, body);
  for (const body of BODIES3) bodies(3, body, { query: "&b64=1" });
  for (const hex of OCTETS3) bodies(3, Buffer.from(hex, "hex"), { type: "application/octet-stream" });
  for (const type of ["application/octet-stream", "text/plain", "application/json", ""]) bodies(4, "4hello", { type });
  for (const target of targets()) {
    for (const method of ["GET", "POST", "PUT", "HEAD"]) list.push({ kind: "request", method, target });
    list.push({ kind: "request", method: "GET", target, headers: { origin: "https://chat.example" } });
    list.push({ kind: "request", upgrade: true, target });
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const [version, count] of [[4, 200], [3, 100]]) {
      for (let i = 0; i < count; i += 1) packets(version, mutated(random, random.pick(PACKETS)));
      for (let i = 0; i < count / 5; i += 1) first(version, mutated(random, [random.pick(FIRST)])[0]);
      for (let i = 0; i < count / 5; i += 1) frames(version, mutated(random, [random.pick(FRAMES)])[0]);
    }
    for (let i = 0; i < 40; i += 1) bodies(4, mutated(random, [random.pick(BODIES4)])[0]);
    for (let i = 0; i < 40; i += 1) bodies(3, mutated(random, [random.pick(BODIES3)])[0]);
    for (let i = 0; i < 30; i += 1) {
      const body = mutated(random, [Buffer.from(random.pick(OCTETS3), "hex")])[0];
      bodies(3, body, { type: "application/octet-stream" });
    }
  }
  return list;
}

function targets() {
  const list = [];
  for (const path of ["/engine.io/", "/socket.io/"]) {
    for (const version of ["", "EIO=4&", "EIO=3&", "EIO=5&", "EIO=abc&"]) {
      for (const transport of ["", "transport=polling", "transport=websocket", "transport=abc"]) {
        for (const sid of ["", "&sid=nobody"]) list.push(`${path}?${version}${transport}${sid}`);
      }
    }
    list.push(`${path}?EIO=4&transport=polling&sid=`, `${path}?EIO=3&transport=polling&j=1`, `${path}?EIO=3&transport=polling&b64=1`);
  }
  return list;
}

/** Numbers that only the seed decides (mulberry32). */
function generator(seed) {
  let state = seed >>> 0;
  const below = (most) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % most;
  };
  return { below, pick: (list) => list[below(list.length)] };
}

const ALPHABET = [..."0123456789-,/[]{}\":b \\", "4", "2", "\x1e", "é", "null", "[1]", '"x"', "/custom,", "?a=b", place(0)];

/** The frames with one to three small wounds in one of them. */
function mutated(random, frames) {
  const at = random.below(frames.length);
  let frame = frames[at];
  for (let wounds = 1 + random.below(3); wounds > 0; wounds -= 1) {
    if (Buffer.isBuffer(frame)) {
      const place = random.below(frame.length + 1);
      const cut = random.below(2);
      const more = random.below(2) === 0 ? [random.below(256)] : [];
      frame = Buffer.concat([frame.subarray(0, place), Buffer.from(more), frame.subarray(place + cut)]);
      continue;
    }
    const place = random.below(frame.length + 1);
    const [head, tail] = [frame.slice(0, place), frame.slice(place)];
    const kind = random.below(5);
    if (kind === 0) frame = head + random.pick(ALPHABET) + tail;
    else if (kind === 1) frame = head + tail.slice(1);
    else if (kind === 2) frame = head + random.pick(ALPHABET) + tail.slice(1);
    else if (kind === 3) frame = head;
    else frame = head + tail.slice(0, 3) + tail;
  }
  // Half of a pair is no text that a frame can carry.
  const result = [...frames];
  result[at] = typeof frame === "string" ? frame.toWellFormed() : frame;
  return result;
}
