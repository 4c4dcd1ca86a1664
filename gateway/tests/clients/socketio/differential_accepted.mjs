// The differences that are meant. `when` is asked for a script and the two transcripts, the reference's first.

const text = (script) => JSON.stringify(script.steps?.at(-1) ?? script.frames ?? script.bodies ?? script.target);
const frames = (script) => [...(script.steps?.at(-1) ?? []), ...(script.frames ?? [])].filter((frame) => typeof frame === "string");
const bodies = (script) => (script.bodies ?? []).map(({ body }) => body).filter((body) => typeof body === "string");
const packets = (script) => [...frames(script), ...bodies(script).flatMap((body) => body.split(script.version === 4 ? "\x1e" : /\d+:/))];
const ended = (transcript) => JSON.stringify(transcript).includes('"closed"');
/** The server closes where the reference goes on. */
const stricter = (theirs, ours) => !ended(theirs) && ended(ours);
const flat = (transcript) => JSON.stringify(transcript);

/** What stands before the JSON of a Socket.IO packet. */
const head = (frame) => /^4[^[{"]*/.exec(frame)?.[0] ?? "";

export const ACCEPTED = [
  {
    reason: "an event without a name, or an ack without its array, is none; the reference takes it for an empty one",
    when: (script, theirs, ours) => stricter(theirs, ours) && frames(script).some((frame) => /^4[2356]/.test(frame) && head(frame) === frame),
  },
  {
    reason: "types, ids and counts of attachments are digits; the reference takes what JavaScript makes a number of (white space, signs, exponents, more digits than are exact)",
    when: (script, theirs, ours) => flat(theirs) !== flat(ours) && frames(script).some((frame) => /^4\s|[\s+.eExX-]|\d{16}/.test(head(frame).replace(/^4[56]\d{1,3}-(?=[^-]*$)/, "").replace(/\/[^,]*,?/, ""))),
  },
  {
    reason: "no attachments are announced by a packet without attachments: it closes (CVE-2026-69185); the reference takes it and waits for bytes",
    when: (script, theirs, ours) => ended(ours) && frames(script).some((frame) => /^4[56]0*-/.test(frame)),
  },
  {
    reason: "arguments are passed on as they came, placeholders too; the reference puts the attachments in and takes them out again",
    when: (script, theirs, ours) => !ended(ours) && frames(script).some((frame) => /^4[56]\d+-/.test(frame)),
  },
  {
    reason: "a close packet closes a WebSocket, as the protocol says; the reference overhears it there",
    when: (script, theirs, ours) => stricter(theirs, ours) && frames(script).some((frame) => frame.startsWith("1")),
  },
  {
    reason: "base64 that is none cannot be read and closes; the reference decodes what it can",
    when: (script, theirs, ours) => (stricter(theirs, ours) || flat(ours).includes("refused")) && packets(script).some((packet) => packet.startsWith("b")),
  },
  {
    reason: "an upgrade that was not probed is none",
    when: (script) => script.kind === "trial" && /^5/.test(String(script.frames[0])),
  },
  {
    reason: "clients of version 4 (Engine.IO 3) are told `Invalid namespace` as their own servers did, in a string; the reference sends an object",
    when: (script, theirs, ours) => script.version === 3 && flat(theirs).replaceAll('{\\"message\\":\\"Invalid namespace\\"}', '\\"Invalid namespace\\"') === flat(ours),
  },
  {
    reason: "in version 3 the answer to a ping carries its data, as the protocol says; the reference leaves it out",
    when: (script, theirs, ours) => script.version === 3 && frames(script).some((frame) => /^2./.test(frame)) && flat(ours).includes('"3'),
  },
  {
    reason: "in version 3 bytes whose first is no type cannot be read and close, and a close packet closes; the reference overhears both",
    when: (script, theirs, ours) => script.version === 3 && stricter(theirs, ours) && (script.steps?.at(-1) ?? []).some((frame) => Buffer.isBuffer(frame)),
  },
  {
    reason: "a namespace is what stands between the slash and the comma or question mark; the reference makes a web address of it in version 3",
    when: (script, theirs, ours) => script.version === 3 && frames(script).some((frame) => /^4[0-6]\/[^,?]*([^\w/,?-]|\/\/|\/\.)/.test(frame) || /\/\//.test(head(frame))),
  },
  {
    reason: "lengths in a body of version 3 are digits; the reference takes what JavaScript makes a number of",
    when: (script, theirs, ours) => script.version === 3 && ended(ours) && bodies(script).some((body) => /^[^:]*[^\d:][^:]*:/.test(body)),
  },
  {
    reason: "a body of bytes of version 3 that is not exact (types, lengths, an empty one) cannot be read and closes; the reference takes what it can",
    when: (script, theirs, ours) => script.version === 3 && script.type === "application/octet-stream" && stricter(theirs, ours),
  },
  {
    reason: "a WebSocket request that names polling is ill-formed, whatever else it says; the reference looks at the version first, or opens the socket and closes it",
    when: (script, theirs, ours) => script.upgrade && /transport=polling/.test(script.target) && flat(ours) === '[400,"Bad request"]',
  },
  {
    reason: "version 3: ids of sessions have another length; what the server says first on / comes with the open packet, as the protocol has it, in the reference with the next poll",
    when: (script, theirs, ours) => {
      const open = (transcript) => flat(transcript).replace(/\d+:0\{/, "0{").replace(/(0\{.*?\})2:40.*"\]$/, '$1"]');
      return script.kind === "request" && /EIO=3/.test(script.target) && open(theirs) === open(ours);
    },
  },
  {
    reason: "deep nesting is refused; the reference ends with it",
    when: (script) => text(script).includes("[[[[[[[[[["),
  },
];
