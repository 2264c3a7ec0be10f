// The `ws` package on Node: lines in over TCP, a WebSocket message each. node node_server.cjs MODULES HTTP_PORT TCP_PORT
"use strict";
const net = require("node:net");
const path = require("node:path");
const [modules, http, devices] = process.argv.slice(2);
const { WebSocketServer } = require(path.join(modules, "ws"));

const server = new WebSocketServer({
  host: "127.0.0.1", port: Number(http), backlog: 1024, perMessageDeflate: false, clientTracking: true,
});
server.on("connection", (socket) => socket.on("error", () => {}));

net
  .createServer((device) => {
    let rest = Buffer.alloc(0);
    device.on("error", () => {});
    device.on("data", (data) => {
      let buffer = rest.length ? Buffer.concat([rest, data]) : data;
      let start = 0;
      for (let end; (end = buffer.indexOf(10, start)) >= 0; start = end + 1) {
        const line = buffer.subarray(start, end);
        // One buffer for everybody: a string would be encoded anew for each client.
        for (const client of server.clients) client.send(line, { binary: false });
      }
      rest = buffer.subarray(start);
    });
  })
  .listen({ port: Number(devices), host: "127.0.0.1", backlog: 1024 });
