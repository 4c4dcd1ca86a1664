// Writes vectors.json: what the reference's parsers make of the same packets and bodies.
//
//   npm install --no-save eio5@npm:engine.io-parser@5.2.3 eio2@npm:engine.io-parser@2.2.1 \
//     sio4@npm:socket.io-parser@4.2.7 sio34@npm:socket.io-parser@3.4.3 sio33@npm:socket.io-parser@3.3.4
//   node vectors.mjs > vectors.json
//
// Differences that are on purpose are listed in tests/vectors.rs, not here.
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const [eio5, eio2] = [require("eio5"), require("eio2")];
const socket = { sio4: require("sio4"), sio34: require("sio34"), sio33: require("sio33") };

const hex = (data) => Buffer.from(data).toString("hex");
const shown = (packet) => {
  if (packet.type === "error" || packet.type === undefined) return null;
  const binary = packet.data !== undefined && typeof packet.data !== "string";
  return { type: packet.type, ...(binary ? { binary: hex(packet.data) } : { text: packet.data ?? "" }) };
};

const bytes = Buffer.from([1, 2, 3, 4]);
const long = Buffer.from(Array.from({ length: 300 }, (_, i) => i % 256));
const lists = [
  [{ type: "message", data: "hello" }],
  [{ type: "message", data: "test1" }, { type: "message", data: "test2" }, { type: "message", data: "test3" }],
  [{ type: "message", data: "hello" }, { type: "message", data: bytes }],
  [{ type: "message", data: bytes }],
  [{ type: "message", data: long }, { type: "ping", data: "probe" }, { type: "pong" }],
  [{ type: "message", data: "€uro 😀 ÿ" }, { type: "noop" }],
  [{ type: "message", data: "😀" }, { type: "message", data: Buffer.alloc(0) }],
  [{ type: "close" }],
  [{ type: "open", data: '{"sid":"x"}' }, { type: "message", data: "0" }],
];
const plain = (list) => list.map((packet) => shown(packet));
const encode3 = (list, binary) => {
  let body;
  eio2.encodePayload(list, binary, (encoded) => (body = encoded));
  return { packets: plain(list), binary, body: hex(body) };
};
const encode4 = (list) => {
  let body;
  eio5.encodePayload(list, (encoded) => (body = encoded));
  return { packets: plain(list), body: hex(body) };
};
const decode3 = (body) => {
  const packets = [];
  eio2.decodePayload(body, (packet) => void packets.push(shown(packet)));
  return { body: hex(body), octets: typeof body !== "string", packets: packets.includes(null) ? null : packets };
};
const decode4 = (body) => {
  const packets = eio5.decodePayload(body).map(shown);
  return { body: hex(body), packets: packets.includes(null) ? null : packets };
};
const bodies4 = ["4hello", "4hello\u001ebAQIDBA==", "2probe", "4", "", "abc", "4a\u001e", "\u001e4a", "4a\u001eabc",
  "bAQIDBA", "b", "1", "5\u001e6", "7", "4\u001e4\u001e4", "4€😀", "40\u001e2"];
const bodies3 = ["6:4hello", "6:4hello10:b4AQIDBA==", "0:", "", "abc", "6:4hell", "1:46:4hello", "3:4😀", "2:4😀",
  "2:4€5:4hell", "-1:4", "6;4hello", "6:4hello2:", "x:4", "6:4hello2:40", "1:7", "12", ":4a", "0:0:2:4a",
  Buffer.from([0, 6, 255, 52, 104, 101, 108, 108, 111, 1, 5, 255, 4, 1, 2, 3, 4]),
  Buffer.from([1, 1, 255, 4]), Buffer.from([0, 4, 255, 52, 0xe2, 0x82, 0xac])];

// The octet form of a text packet counts bytes of UTF-8.
const texts = ["0", "1", "2", "0{}", '0{"token":"x"}', '0/custom,{"token":"x"}', "0/custom", "0/custom,", "1/custom,",
  '2["hi",1]', '2/custom,12["hi",1]', '312["ok"]', "3/custom,12[]", '5-["a"]', '51-["pic",{"_placeholder":true,"num":0}]',
  '50-["a"]', '511-["a"]', '510-["a"]', '5["a"]', '51-/n,3["a",{"_placeholder":true,"num":0}]',
  '61-12[{"_placeholder":true,"num":0}]', '4/custom,{"message":"no"}', '4"no"', "4", "2{}", "2[]", "2[1]", "2[null]",
  '2["connect"]', '2["disconnect"]', '2["newListener",1]', '2["error"]', '2abc["x"]', "abc", "", "7", "9", "2", "2/a",
  '2/a,["b"]', "0[]", "0null", '0"x"', "01", "1[]", '1{"a":1}', "3", "31", "3{}", "312{}", '2["a"]x', '2["a"',
  "0/v1/conversations/events?token=T&user_id=42,", "0/a?b=c", '2999["a"]', '5-1-["a"]', '5x-["a"]', '51.5-["a"]',
  '2["\\ud83d\\ude00"]', '2["a",{"b":[1,2,{"c":"}]"}]}]', '2[ "a" , 1 ]', '6-12[]', '60-12[]', '3012["a"]', '40["a"]',
  "2[true]", '2["a",]', '2[-1,"x"]', '2[1e3]', "0/a,b", "0/,", '2/,["a"]', "4[]", "41", "4null"];
const decodeText = (parser, text) => {
  const decoder = new parser.Decoder();
  let decoded = null;
  decoder.on("decoded", (packet) => (decoded = packet));
  try {
    decoder.add(text);
  } catch {
    return null;
  }
  // A packet that waits for attachments is kept in the decoder.
  const packet = decoded ?? decoder.reconstructor?.reconPack;
  if (!packet || (parser.protocol === 4 && packet.type === 4 && packet.data === "parser error: unknown packet type")) {
    return null;
  }
  if (typeof packet.data === "string" && packet.data.startsWith("parser error")) return null;
  return {
    nsp: packet.nsp, id: packet.id ?? null, attachments: packet.attachments ?? 0,
    data: packet.data === undefined ? null : JSON.stringify(packet.data),
  };
};
const packets = [
  { type: 2, nsp: "/", data: ["hi", 1] }, { type: 2, nsp: "/custom", id: 12, data: ["hi", { a: "é\u001e😀" }] },
  { type: 3, nsp: "/", id: 0, data: [] }, { type: 3, nsp: "/custom", id: 7, data: ["ok", null] },
  { type: 1, nsp: "/" }, { type: 1, nsp: "/custom" }, { type: 2, nsp: "/", data: ['qu"ote\\'] },
];
const binaries = [
  { type: 5, nsp: "/", data: ["pic", bytes, { a: [bytes] }] }, { type: 6, nsp: "/custom", id: 3, data: [bytes] },
];
const encodeText = (parser, packet) => {
  const copy = { ...packet };
  if (parser.protocol === 5) {
    // The current encoder finds the attachments itself.
    copy.type = { 5: 2, 6: 3 }[copy.type] ?? copy.type;
    return new parser.Encoder().encode(copy)[0];
  }
  let text;
  new parser.Encoder().encode(copy, (encoded) => (text = encoded[0]));
  return text;
};
const described = (packet) => ({ type: packet.type, nsp: packet.nsp, id: packet.id ?? null });
const vectors = {
  engine: {
    encode4: lists.map(encode4), encode3: lists.flatMap((list) => [encode3(list, false), encode3(list, true)]),
    decode4: bodies4.map(decode4), decode3: bodies3.map(decode3),
  },
  socket: Object.fromEntries(Object.entries(socket).map(([name, parser]) => [name, {
    decode: texts.map((text) => ({ text, packet: decodeText(parser, text) })),
    encode: [...packets, ...binaries].map((packet) => ({
      ...described(packet),
      data: packet.data === undefined ? null : packet.type < 5 ? JSON.stringify(packet.data) : null,
      text: encodeText(parser, packet),
    })),
  }])),
};
const lines = (value) => JSON.stringify(value, null, 1).replace(/\n {4,}/g, " ").replace(/\n {3}([\]}])/g, "$1");
console.log(lines(vectors));
