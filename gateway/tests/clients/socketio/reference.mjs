// The reference: Node's socket.io with `allowEIO3`, doing what the example `socketio_echo` does.
//
//     node reference.mjs [--port 3000]
//
// Prints `listening on 127.0.0.1:PORT`; port 0 takes any. What the example is asked for and the reference does
// otherwise (no EIO is not version 3, no JSONP, a path without its last slash) is brought in line below, and nothing else.

import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url);
const engine = require("engine.io");
const { Server } = require("socket.io");

const settings = {
  pingInterval: 300,
  pingTimeout: 200,
  maxHttpBufferSize: 1_000_000,
  allowEIO3: true,
  addTrailingSlash: false,
  destroyUpgrade: false,
  cors: { origin: true, credentials: true },
};

/** Refuses what the example refuses; the codes and their order are the reference's. */
function strict(server) {
  const verify = server.verify.bind(server);
  server.verify = (request, upgrade, done) => {
    const { EIO, j, sid } = request._query;
    if (j !== undefined) return done(0, {});
    verify(request, upgrade, (code, context) => {
      const unknown = code === undefined && !sid && EIO !== "3" && EIO !== "4";
      done(unknown ? 5 : code, context);
    });
  };
}

const http = createServer((_, response) => response.writeHead(404).end());
const echo = engine.attach(http, { ...settings, path: "/engine.io" });
strict(echo);
echo.on("connection", (session) => {
  session.on("data", (data) => session.send(data));
});

const io = new Server(http, { ...settings, path: "/socket.io", serveClient: false, connectTimeout: 1000 });
strict(io.engine);

function serve(socket) {
  socket.emit("auth", socket.handshake.auth);
  socket.on("message", (...args) => socket.emit("message-back", ...args));
  socket.on("message-with-ack", (...args) => args.pop()(...args));
  socket.on("ask-me", (...args) => {
    socket.emit("question", ...args, (...answer) => socket.emit("answer-was", ...answer));
  });
  socket.on("kick-me", () => socket.disconnect());
  socket.on("cut-me", () => socket.conn.close());
}

io.on("connection", serve);
io.of("/custom").on("connection", serve);
io.of("/protected").use((socket, next) => {
  if (socket.handshake.auth.token === "let-me-in") return next();
  const refused = new Error("Not authorized");
  refused.data = { code: "E_AUTH", retry: false };
  next(refused);
});
io.of("/protected").on("connection", serve);

// JSON nested deeper than its stack ends the reference as a whole, which is no model for anybody.
process.on("uncaughtException", (error) => {
  if (!(error instanceof RangeError)) throw error;
});

// A request for a WebSocket that is for neither.
http.on("upgrade", (request, socket) => {
  const ours = ["/engine.io", "/socket.io"].some((path) => request.url.startsWith(path));
  if (!ours) socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
});

const at = process.argv.indexOf("--port");
http.listen(at < 0 ? 3000 : Number(process.argv[at + 1]), "127.0.0.1", () => {
  console.log(`listening on 127.0.0.1:${http.address().port}`);
});
