// One live subscription that stays alive.
//
// States: connecting -> live -> waiting -> connecting … until close(), or `refused` when the server says that the
// filter is wrong. While `waiting` a timer runs; everything that promises a change (network back, tab shown, the
// button) ends the wait early. Messages go out as the raw text: parsing is the table's business, which may skip it.
// The id to resume from is asked of the table for the same reason.

const BACKOFF_FIRST_S = 0.5;
const BACKOFF_LIMIT_S = 15;
/** A connection that lived this long was a good one: the next failure starts the backoff anew. */
const STABLE_S = 5;
const OPEN_LIMIT_S = 10;

const RESTARTING = 1012;
const SLOW = 3008;
const BAD_FILTER = 4400;

/** Seconds to wait before attempt `attempt` (from 0): exponential, with half of it random so that a thousand browsers
 * do not return at the same moment. */
export function backoff(attempt, random = Math.random) {
  const ceiling = Math.min(BACKOFF_LIMIT_S, BACKOFF_FIRST_S * 2 ** attempt);
  return ceiling * (0.5 + 0.5 * random());
}

function explain(code, reason) {
  if (code === RESTARTING) return "the server is restarting";
  if (code === SLOW) return reason || "this browser was too slow";
  return reason;
}

export class Stream {
  #base;
  #filter;
  #onMessage;
  #onState;
  #since;
  #socket = null;
  #timer = 0;
  #attempt = 0;
  #isClosed = false;
  #openedAt = 0;
  state = "connecting";

  /**
   * @param {object} options
   * @param {URL} options.base where the gateway is mounted, with its trailing slash
   * @param {string} options.filter topic filter, as typed
   * @param {(raw: string) => void} options.onMessage
   * @param {() => string | null} options.since id of the newest publication seen, null for none
   * @param {(state: string, detail: {reason: string, seconds: number, isSlow: boolean}) => void} options.onState
   */
  constructor({ base, filter, onMessage, onState, since }) {
    this.#base = base;
    this.#filter = filter;
    this.#onMessage = onMessage;
    this.#onState = onState;
    this.#since = since;
    addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
    this.#open();
  }

  /** Connect now if waiting. */
  retry() {
    if (this.state === "waiting") this.#open();
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    this.#drop();
  }

  #hurry = () => {
    if (!document.hidden) this.retry();
  };

  #address() {
    const url = new URL("ws", this.#base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // In the query and not in the path: a path would eat a filter such as `..`, and read a final `/` as `/#`.
    // And not by URLSearchParams, which writes a space as `+`: to the gateway a `+` is a `+`.
    const since = this.#since();
    const past = since === null ? "history=100" : `since=${encodeURIComponent(since)}`;
    url.search = `filter=${encodeURIComponent(this.#filter)}&format=json&${past}`;
    return url;
  }

  #open() {
    clearTimeout(this.#timer);
    this.#drop();
    this.#enter("connecting");
    const socket = new WebSocket(this.#address());
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#failed(socket, 1006, "no answer"), OPEN_LIMIT_S * 1000);
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      clearTimeout(this.#timer);
      this.#openedAt = performance.now();
      this.#enter("live");
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket && typeof event.data === "string") this.#onMessage(event.data);
    });
    socket.addEventListener("close", (event) => this.#failed(socket, event.code, event.reason));
  }

  #failed(socket, code, reason) {
    if (socket !== this.#socket || this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#drop();
    if (code === BAD_FILTER) {
      this.#enter("refused", { reason: reason || "the server refused the topic filter" });
      return;
    }
    if (this.#openedAt > 0 && performance.now() - this.#openedAt > STABLE_S * 1000) this.#attempt = 0;
    this.#openedAt = 0;
    const seconds = backoff(this.#attempt);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), seconds * 1000);
    this.#enter("waiting", { reason: explain(code, reason), seconds, isSlow: code === SLOW });
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null && socket.readyState <= WebSocket.OPEN) socket.close(1000);
  }

  #enter(state, { reason = "", seconds = 0, isSlow = false } = {}) {
    this.state = state;
    this.#onState(state, { reason, seconds, isSlow });
  }
}
