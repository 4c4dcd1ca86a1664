// Engine.IO 4 and 3 and Socket.IO 5 and 4 as their documents have them, against a server that does what the example
// `socketio_echo` does.
//
//     node conformance.mjs http://127.0.0.1:3000 | -- COMMAND …
//
// Where the documents leave a choice, each answer that they allow passes. ONLY=WORD runs the cases with that word.

import { runAll } from "./cases.mjs";
import { Pulse } from "./pulse.mjs";
import { Serving } from "./serving.mjs";
import { handshakes } from "./conformance_handshake.mjs";
import { polling } from "./conformance_polling.mjs";
import { upgrades } from "./conformance_upgrade.mjs";
import { version3 } from "./conformance_version3.mjs";
import { namespaces } from "./conformance_namespaces.mjs";
import { packets } from "./conformance_packets.mjs";
import { invalid } from "./conformance_invalid.mjs";

const serving = await Serving.from(process.argv.slice(2), "node conformance.mjs");
for (const cases of [handshakes, polling, upgrades, version3, namespaces, packets, invalid]) cases(serving.url);
const code = await runAll({ together: 4, pulse: new Pulse(serving.url) });
await serving.end();
process.exit(code);
