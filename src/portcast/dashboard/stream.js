// One live subscription over the Centrifuge protocol, made whole from history.
//
// The SDK connects, reconnects and subscribes again. A wildcard cannot be recovered in the protocol, so what was missed is
// asked of `api/history`, by the id of the newest publication seen; an exact topic is treated alike. While that question is
// open, live publications wait; those that the answer holds too are dropped by their id, also when they come after it, for
// the server pushes a little later than it keeps. So nothing is lost or doubled, and what is gone for good is told as a gap.
//
// States: connecting -> live -> waiting -> connecting … until close(), or `refused` when coming back would change nothing.
// Publications are envelopes ({topic, epoch, offset, id, time, data | base64}), because the subscription asks for them.

import { Centrifuge } from "./vendor/centrifuge.mjs";

const BACKOFF_FIRST_MS = 500;
const BACKOFF_LIMIT_MS = 15_000;
const ANSWER_LIMIT_MS = 10_000;
const FIRST_PAGE = 100;
const PAGE = 300;
/** Publications that wait for an answer at most, and ids of answers that are known; the table shows half as many. */
const MAX_WAITING = 1000;

const SHUTDOWN = 3001;
const SLOW = 3008;
const RESTARTING = 1012;

/** Codes in words, where the server's own are terse. */
const WORDS = new Map([
  [101, "the server wants to know who asks: log in above"],
  [107, "this is no topic filter: + and # stand alone in their level, # is the last one, and 16 levels or 255 bytes are the most"],
  [103, "the server does not let this page subscribe to these topics"],
  [RESTARTING, "the server is restarting"],
  [2500, "this browser fell behind"],
  [SHUTDOWN, "the server is restarting"],
  [3500, "the server wants to know who asks: log in above"],
  [3507, "the server refuses this page: nothing says who may connect from elsewhere"],
]);

function explain({ code, reason = "", message = "" }) {
  if (code === SLOW) return reason === "slow" ? "this browser was too slow" : reason;
  // The SDK's own (0 to 99) say what it did, not why.
  return WORDS.get(code) ?? (code < 100 ? "" : reason || message);
}

export class Stream {
  #base;
  #filters;
  #onMessage;
  #onGap;
  #onState;
  #since;
  #client;
  #subscriptions;
  #isClosed = false;
  #round = 0;
  #waiting = null; // publications, while a question is open
  #told = new Set(); // ids that history told and that may come live, too
  #retryTimer = 0;
  #isRetrying = false;
  state = "connecting";

  /**
   * @param {object} options
   * @param {URL} options.base where the gateway is mounted, with its trailing slash
   * @param {string | string[]} options.filter topic filter, as typed, or several
   * @param {(envelope: object) => void} options.onMessage
   * @param {(gap: {missed: number, exact: boolean}) => void} options.onGap
   * @param {() => string | null} options.since id of the newest publication seen, null for none
   * @param {(state: string, detail: {reason: string, isSlow: boolean}) => void} options.onState
   */
  constructor({ base, filter, onMessage, onGap, onState, since }) {
    this.#base = base;
    this.#filters = [filter].flat();
    this.#onMessage = onMessage;
    this.#onGap = onGap;
    this.#onState = onState;
    this.#since = since;
    document.addEventListener("visibilitychange", this.#hurry);
    const address = new URL("connection/websocket", base);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.#client = new Centrifuge(address.href, {
      name: "portcast page",
      minReconnectDelay: BACKOFF_FIRST_MS,
      maxReconnectDelay: BACKOFF_LIMIT_MS,
    });
    this.#client.on("connecting", (context) => this.#away(context));
    this.#client.on("disconnected", (context) => this.#refused(context));
    // Each failed attempt gives another delay, which the SDK keeps to itself; the state says that it goes on.
    this.#client.on("error", ({ error }) => this.#failed(error));
    this.#subscriptions = this.#filters.map((one) => this.#newSubscription(one));
    this.#enter("connecting");
    for (const one of this.#subscriptions) one.subscribe();
    this.#client.connect();
  }

  #newSubscription(filter) {
    const made = this.#client.newSubscription(filter, { data: { envelope: true } });
    made.on("subscribed", () => {
      // Before the last one is there, what history holds would not be all that is missed.
      if (this.#subscriptions.every((one) => one.state === "subscribed")) this.#catchUp();
    });
    made.on("subscribing", (context) => {
      // When the connection breaks, only the client's own event says why.
      if (this.#client.state === "connected") this.#away(context);
    });
    made.on("unsubscribed", (context) => this.#refused(context));
    made.on("publication", ({ data }) => this.#received(data));
    return made;
  }

  /** Connect now if waiting. */
  retry() {
    if (this.state !== "waiting") return;
    this.#isRetrying = true;
    this.#client.disconnect();
    this.#isRetrying = false;
    this.#enter("connecting");
    this.#client.connect();
  }

  close() {
    this.#isClosed = true;
    this.#round += 1;
    clearTimeout(this.#retryTimer);
    document.removeEventListener("visibilitychange", this.#hurry);
    if (this.#client.state !== "connecting") {
      this.#client.disconnect();
      return;
    }
    // A socket that is closed before it is open is a warning in the console, as if something were wrong.
    for (const one of this.#subscriptions) one.unsubscribe();
    this.#client.once("connected", () => this.#client.disconnect());
    this.#client.once("error", () => this.#client.disconnect());
  }

  #hurry = () => {
    if (!document.hidden) this.retry();
  };

  #away(context) {
    if (this.#isClosed || this.#isRetrying || this.state === "connecting") return;
    this.#forgetQuestion();
    if (this.state === "waiting") return;
    this.#enter("waiting", { reason: explain(context), isSlow: context.code === SLOW });
  }

  #failed(error) {
    if (this.#isClosed || this.#isRetrying || this.state === "refused") return;
    if (this.state === "connecting") this.#enter("waiting", { reason: explain(error) });
  }

  #refused(context) {
    if (this.#isClosed || this.#isRetrying || this.state === "refused") return;
    this.#forgetQuestion();
    this.#enter("refused", { reason: explain(context) || "the server refused the connection" });
  }

  #received(envelope) {
    if (this.#waiting === null) {
      if (!this.#told.delete(envelope.id)) this.#onMessage(envelope);
    } else {
      this.#waiting.push(envelope);
      if (this.#waiting.length >= 2 * MAX_WAITING) this.#waiting.splice(0, MAX_WAITING);
    }
  }

  #forgetQuestion() {
    this.#round += 1;
    clearTimeout(this.#retryTimer);
    // What waits is newer than what the next answer begins with, and will be in it.
    this.#waiting = null;
  }

  async #catchUp() {
    if (this.#isClosed) return;
    this.#forgetQuestion();
    const round = this.#round;
    this.#waiting = [];
    this.#told.clear();
    try {
      for (let isMore = true; isMore; ) {
        const answer = await this.#ask();
        if (round !== this.#round) return;
        if (answer.missed > 0) this.#onGap(answer);
        for (const envelope of answer.publications) {
          this.#told.add(envelope.id);
          if (this.#told.size > MAX_WAITING) this.#told.delete(this.#told.values().next().value);
          this.#onMessage(envelope);
        }
        isMore = answer.more > 0 && answer.publications.length > 0;
        // Each of these was published before the next question, so that its answer will hold them.
        if (isMore) this.#waiting = [];
      }
    } catch (error) {
      if (round !== this.#round) return;
      // Live publications must not be shown before what is older, and they would move the place to go on from.
      this.#enter("waiting", { reason: `history cannot be read (${error.message})` });
      this.#retryTimer = setTimeout(() => this.#catchUp(), BACKOFF_FIRST_MS * 4);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#enter("live");
    for (const envelope of waiting) this.#received(envelope);
  }

  async #ask() {
    const url = new URL("api/history", this.#base);
    // By hand, because URLSearchParams writes a space as `+`: to the gateway a `+` is a `+`.
    const since = this.#since();
    const past = since === null ? `limit=${FIRST_PAGE}` : `limit=${PAGE}&since=${encodeURIComponent(since)}`;
    url.search = [...this.#filters.map((one) => `filter=${encodeURIComponent(one)}`), past].join("&");
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS), cache: "no-store" });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return response.json();
  }

  #enter(state, { reason = "", isSlow = false } = {}) {
    this.state = state;
    this.#onState(state, { reason, isSlow });
  }
}
