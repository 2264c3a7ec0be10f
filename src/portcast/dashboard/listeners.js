// The listeners and their counters, asked for every two seconds while the tab is shown.

import { element, setText } from "./dom.js";
import * as format from "./format.js";

const INTERVAL_MS = 2000;
const ANSWER_LIMIT_MS = 5000;
/** Two minutes of rates in the small curve. */
const SAMPLES = 60;
const CURVE_WIDTH = 120;
const CURVE_HEIGHT = 28;
const SVG = "http://www.w3.org/2000/svg";

class Card {
  #parts;
  #previous = null;
  #rates = [];

  constructor(name) {
    const part = (tag, className) => element(tag, { className });
    const counter = (label) => {
      const value = part("dd", "");
      return { value, group: element("div", {}, element("dt", {}, label), value) };
    };
    const [connections, frames, received] = [counter("open"), counter("frames"), counter("received")];
    const curve = document.createElementNS(SVG, "svg");
    curve.setAttribute("class", "curve");
    curve.setAttribute("viewBox", `0 0 ${CURVE_WIDTH} ${CURVE_HEIGHT}`);
    curve.setAttribute("preserveAspectRatio", "none");
    curve.setAttribute("aria-hidden", "true");
    const area = curve.appendChild(document.createElementNS(SVG, "path"));
    area.setAttribute("class", "area");
    const line = curve.appendChild(document.createElementNS(SVG, "path"));
    line.setAttribute("class", "line");
    this.#parts = {
      name: element("h3", { attributes: { title: name } }, name),
      address: part("p", "address"),
      state: part("span", "state"),
      target: part("p", "target"),
      framing: part("p", "framing"),
      rate: part("span", "value"),
      connections: connections.value,
      frames: frames.value,
      received: received.value,
      errors: element("ul", { className: "errors", attributes: { "aria-label": "Errors" } }),
      area,
      line,
    };
    const p = this.#parts;
    const now = element("p", { className: "now" }, p.rate, element("span", { className: "unit" }, "frames/s"));
    this.root = element(
      "li",
      { className: "card" },
      element("div", { className: "card-head" }, p.name, p.state),
      p.address,
      p.target,
      p.framing,
      element("div", { className: "activity" }, now, curve),
      element("dl", { className: "counters" }, connections.group, frames.group, received.group),
      p.errors,
    );
  }

  update(listener, at) {
    const p = this.#parts;
    const { name, address = "", state = "", target = "", framing = "", errors = {} } = listener;
    setText(p.name, name.replace(/^tcp:\/\//, ""));
    setText(p.address, name === address ? "" : address);
    setText(p.state, state);
    this.root.dataset.state = state;
    setText(p.target, target.replace(/^topic /, "→ "));
    setText(p.framing, framing);
    setText(p.connections, format.shortCount(listener.connections ?? 0));
    setText(p.frames, format.shortCount(listener.frames ?? 0));
    setText(p.received, format.bytes(listener.bytes_received ?? 0));
    const reasons = Object.entries(errors).filter(([, number]) => number > 0);
    const shown = reasons.map(([reason, number]) => `${reason.replaceAll("_", " ")} ${format.shortCount(number)}`);
    if (p.errors.dataset.shown !== shown.join()) {
      p.errors.dataset.shown = shown.join();
      p.errors.replaceChildren(...shown.map((text) => element("li", {}, text)));
    }
    this.#sample(listener.frames ?? 0, at);
  }

  /** Nobody answers: whatever was true a moment ago, nothing is known now. */
  forget() {
    setText(this.#parts.state, "unknown");
    this.root.dataset.state = "unknown";
    this.root.classList.remove("busy");
    setText(this.#parts.rate, "–");
  }

  #sample(frames, at) {
    const before = this.#previous;
    this.#previous = { frames, at };
    // Fewer than before: the server was restarted. Nothing can be said about the time between.
    if (before === null || frames < before.frames || at <= before.at) {
      setText(this.#parts.rate, before === null ? "–" : "0");
      return;
    }
    const rate = (frames - before.frames) / (at - before.at);
    this.#rates.push(rate);
    if (this.#rates.length > SAMPLES) this.#rates.shift();
    setText(this.#parts.rate, format.rate(rate));
    this.root.classList.toggle("busy", rate > 0);
    this.#draw();
  }

  #draw() {
    const top = Math.max(...this.#rates, 1);
    const step = CURVE_WIDTH / (SAMPLES - 1);
    const left = CURVE_WIDTH - step * (this.#rates.length - 1);
    const points = this.#rates.map((rate, index) => {
      const y = CURVE_HEIGHT - 1.5 - (rate / top) * (CURVE_HEIGHT - 4);
      return `${(left + index * step).toFixed(1)} ${y.toFixed(1)}`;
    });
    const path = `M${points.join("L")}`;
    this.#parts.line.setAttribute("d", path);
    this.#parts.area.setAttribute("d", `${path}L${CURVE_WIDTH} ${CURVE_HEIGHT}L${left.toFixed(1)} ${CURVE_HEIGHT}Z`);
  }
}

export class Listeners {
  #address;
  #list;
  #notice;
  #onUpdate;
  #cards = new Map();
  #timer = 0;
  #isAsking = false;

  /**
   * @param {object} options
   * @param {URL} options.base where the gateway is mounted
   * @param {HTMLElement} options.list the ul
   * @param {HTMLElement} options.notice shown while there is no answer
   * @param {(answer: {listeners: object[], version?: string, subscribers?: number}) => void} options.onUpdate
   */
  constructor({ base, list, notice, onUpdate }) {
    this.#address = new URL("api/listeners", base);
    this.#list = list;
    this.#notice = notice;
    this.#onUpdate = onUpdate;
    document.addEventListener("visibilitychange", () => this.refresh());
    this.refresh();
  }

  /** Ask now; then every two seconds. */
  async refresh() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#isAsking) return;
    this.#isAsking = true;
    try {
      const response = await fetch(this.#address, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS), cache: "no-store" });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      this.#show(await response.json());
    } catch (error) {
      this.#stale(error);
    } finally {
      this.#isAsking = false;
      if (!document.hidden) this.#timer = setTimeout(() => this.refresh(), INTERVAL_MS);
    }
  }

  #show(answer) {
    const at = performance.now() / 1000;
    const listeners = answer.listeners ?? [];
    const names = new Set(listeners.map((listener) => listener.name));
    for (const [name, card] of this.#cards) {
      if (names.has(name)) continue;
      card.root.remove();
      this.#cards.delete(name);
    }
    for (const listener of listeners) {
      let card = this.#cards.get(listener.name);
      if (card === undefined) {
        card = new Card(listener.name);
        this.#cards.set(listener.name, card);
        this.#list.append(card.root);
      }
      card.update(listener, at);
    }
    this.#list.classList.remove("stale");
    this.#notice.hidden = listeners.length > 0;
    setText(this.#notice, listeners.length > 0 ? "" : "No listener is configured.");
    this.#onUpdate(answer);
  }

  #stale(error) {
    this.#list.classList.add("stale");
    for (const card of this.#cards.values()) card.forget();
    this.#notice.hidden = false;
    const reason = error.message?.startsWith("HTTP ") ? error.message : "the server does not answer";
    setText(this.#notice, `Counters are not current: ${reason}.`);
  }
}
