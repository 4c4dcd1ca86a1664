// The Node server that Muster is measured beside: Socket.IO 4.8 with ws, set up for speed (no compression, WebSockets
// only, one process). It does the same work: an ack with the same arguments, and a message to everybody in a room.
//
//     node server.mjs PORT
//
// A client that asks for it (`?room=NAME`) is in that room. `message-with-ack` is acked with its arguments; `say` (room,
// payload) is emitted as `message:new` to the room and acked.

import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  pingInterval: 25_000,
  pingTimeout: 20_000,
});

io.on("connection", (socket) => {
  const { room } = socket.handshake.query;
  if (room) socket.join(room);
  socket.on("message-with-ack", (...args) => args.pop()(...args));
  socket.on("say", (to, payload, ack) => {
    io.to(to).emit("message:new", payload);
    ack?.({ success: true });
  });
});

http.listen(Number(process.argv[2] ?? 3000), "127.0.0.1", () => console.log(`listening on 127.0.0.1:${http.address().port}`));
