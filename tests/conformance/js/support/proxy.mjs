// A TCP proxy between a client and the server that can be cut, that can stop reading, and that counts.

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Proxy {
  #pairs = new Set();
  #server = createServer({ pauseOnConnect: true }, (client) => this.#join(client));
  #isCut = false;

  /** Bytes that came from the server. */
  received = 0;

  constructor(host, port) {
    this.target = { host, port };
  }

  /** Listen on a free port of loopback; return the address. */
  async open() {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `127.0.0.1:${this.#server.address().port}`;
  }

  #join(client) {
    if (this.#isCut) {
      client.destroy();
      return;
    }
    const server = connect({ ...this.target, noDelay: true });
    client.setNoDelay(true);
    const pair = { client, server };
    this.#pairs.add(pair);
    server.on("data", (data) => {
      this.received += data.length;
      if (!client.write(data)) server.pause();
    });
    client.on("drain", () => pair.isHeld || server.resume());
    client.pipe(server);
    server.on("end", () => client.end());
    for (const one of [client, server]) {
      one.on("error", () => undefined); // `close` follows
      one.on("close", () => {
        this.#pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
  }

  /** End every connection at once, and take no new one until `mend`. */
  cut() {
    this.#isCut = true;
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  mend() {
    this.#isCut = false;
  }

  /** Stop reading from the server on the connections that there are, as a client does that cannot keep up. */
  hold() {
    for (const pair of this.#pairs) {
      pair.isHeld = true;
      pair.server.pause();
    }
  }

  release() {
    for (const pair of this.#pairs) {
      pair.isHeld = false;
      pair.server.resume();
    }
  }

  close() {
    this.cut();
    this.#server.close();
  }
}
