// Publications of a few topics by plain `/ws`, which asks for the same rights as `/api`: SDK clients are shown no `$recorder/…`
// while nothing says who may what. Nothing is replayed; whoever listens asks for what it missed whenever the feed is live again.

const BACKOFF_FIRST_MS = 500;
const BACKOFF_LIMIT_MS = 15_000;
/** Coming back would change nothing: not valid, nobody known, not enough. */
const FINAL = new Map([
  [4400, "the server does not know these topics"],
  [4401, "the server wants to know who asks: log in first"],
  [4403, "the server does not let this page do that"],
]);

export class Feed {
  #address;
  #handlers;
  #socket = null;
  #delay = BACKOFF_FIRST_MS;
  #timer = 0;

  /**
   * @param {object} options
   * @param {URL} options.base where the gateway is mounted
   * @param {string[]} options.topics
   * @param {(data: string) => void} options.onData a publication's text
   * @param {() => void} options.onMissed it is live from now on, or something was left out: what was before is unknown
   * @param {(reason: string) => void} options.onRefused it ends
   */
  constructor({ base, topics, ...handlers }) {
    this.#handlers = handlers;
    this.#address = new URL("ws", base);
    this.#address.protocol = base.protocol === "https:" ? "wss:" : "ws:";
    // By hand, because URLSearchParams writes a space as `+`: to the gateway a `+` is a `+`.
    this.#address.search = ["format=json", ...topics.map((one) => `filter=${encodeURIComponent(one)}`)].join("&");
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    // A socket that is closed before it is open is a warning in the console, as if something were wrong.
    if (socket.readyState === WebSocket.CONNECTING) socket.addEventListener("open", () => socket.close());
    else socket.close();
  }

  #connect() {
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#delay = BACKOFF_FIRST_MS;
      this.#handlers.onMissed();
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket) this.#received(data);
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket !== this.#socket) return;
      if (FINAL.has(code)) this.#handlers.onRefused(FINAL.get(code));
      else this.#again();
    });
  }

  #again() {
    // Not all pages at once when a server is back.
    this.#timer = setTimeout(() => this.#connect(), this.#delay * (0.5 + Math.random() / 2));
    this.#delay = Math.min(2 * this.#delay, BACKOFF_LIMIT_MS);
  }

  #received(text) {
    const { gap, data } = JSON.parse(text);
    if (gap !== undefined) this.#handlers.onMissed();
    else if (typeof data === "string") this.#handlers.onData(data);
  }
}
