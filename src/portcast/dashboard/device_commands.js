// The command box of one device, and what became of its commands, whoever sent them.
//
// Outcomes come from the topic `$devices/<id>/commands`; where that may not be followed, those sent here are asked for. A
// change counts if its offset is newer than the last one's, so that history and live publications may overlap.

import { byId, element, setText } from "./dom.js";
import * as format from "./format.js";

const SHOWN = 50;
const ASK_AGAIN_MS = 2000;

/** The states of a command in words. */
const WORDS = {
  queued: "waiting for the device",
  written: "sent, no answer yet",
  delivered: "delivered",
  answered: "answered",
  refused: "refused by the device",
  timed_out: "no answer in time",
  unknown: "connection lost after sending: perhaps it was done",
  expired: "never sent: the device did not come in time",
  cancelled: "cancelled, never sent",
  displaced: "never sent: a newer one took its place",
};

function shown(value) {
  if (value === null || value === undefined) return "";
  return format.visible(typeof value === "string" ? value : JSON.stringify(value), true);
}

class Entry {
  #text = element("code", { className: "command-text" });
  #state = element("span", { className: "command-state" });
  #time = element("span", { className: "time" });
  #answer = element("pre", { className: "command-answer" });
  #problem = element("p", { className: "error" });
  #cancel = element("button", { attributes: { type: "button" } }, "Cancel");
  change = null;
  offset = 0;
  epoch = "";

  constructor(onCancel) {
    this.#cancel.addEventListener("click", () => onCancel(this));
    this.root = element("li", {}, element("div", {}, this.#text, this.#time), element("div", {}, this.#state, this.#cancel), this.#answer, this.#problem);
    this.fail("");
  }

  update(change) {
    this.change = change;
    this.root.dataset.state = change.state;
    setText(this.#text, shown(change.command));
    setText(this.#state, WORDS[change.state] ?? change.state);
    setText(this.#time, format.clock(change.at).slice(0, 8));
    this.#time.title = format.isoTime(change.at);
    setText(this.#answer, shown(change.answer));
    this.#answer.hidden = change.answer === null;
    this.#cancel.hidden = change.state !== "queued";
    this.#cancel.setAttribute("aria-label", `Cancel ${shown(change.command).slice(0, 60)}`);
  }

  fail(reason) {
    this.#problem.hidden = reason === "";
    setText(this.#problem, reason);
  }
}

export class Commands {
  #api;
  #device = null;
  #entries = new Map(); // by the command's id, oldest first
  #mine = new Set();
  #key = null; // of a command that perhaps did not arrive
  #timer = 0;

  /** @param {DeviceApi} api */
  constructor(api) {
    this.#api = api;
    byId("command-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    const text = byId("command-text");
    text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    text.addEventListener("input", () => {
      text.rows = Math.min(8, text.value.split("\n").length);
      this.#key = null; // another command
      this.#complain("");
    });
    byId("command-kind").addEventListener("change", () => {
      this.#key = null;
      this.#complain("");
    });
  }

  /** Begin with another device, or with none. */
  use(id) {
    this.#device = id;
    this.#entries.clear();
    this.#mine.clear();
    this.#key = null;
    clearTimeout(this.#timer);
    byId("commands").replaceChildren();
    byId("command-text").value = "";
    byId("command-text").rows = 1;
    byId("command-send").disabled = false;
    setText(byId("command-said"), "");
    this.#complain("");
  }

  /** Take a publication of the topic. */
  receive({ data, epoch, offset }) {
    const change = parsed(data);
    if (change === null) return;
    const known = this.#entries.get(change.id);
    if (known !== undefined && known.epoch === epoch && known.offset >= offset) return;
    const entry = this.#show(change);
    entry.epoch = epoch;
    entry.offset = offset;
  }

  #show(change) {
    let entry = this.#entries.get(change.id);
    if (entry === undefined) {
      entry = new Entry((one) => this.#cancel(one));
      this.#entries.set(change.id, entry);
      byId("commands").prepend(entry.root);
      if (this.#entries.size > SHOWN) {
        const [id, oldest] = this.#entries.entries().next().value;
        oldest.root.remove();
        this.#entries.delete(id);
      }
    }
    entry.update(change);
    if (this.#mine.has(change.id)) {
      setText(byId("command-said"), `${shown(change.command)}: ${WORDS[change.state] ?? change.state} ${shown(change.answer)}`.slice(0, 300));
      if (change.is_end) this.#mine.delete(change.id);
    }
    return entry;
  }

  async #send() {
    const id = this.#device;
    const text = byId("command-text").value;
    if (id === null || byId("command-send").disabled) return;
    let command = text;
    if (byId("command-kind").value === "json") {
      try {
        command = JSON.parse(text);
      } catch (error) {
        this.#complain(`This is not JSON: ${error.message}`);
        return;
      }
      if (command === null) {
        this.#complain("null is no command.");
        return;
      }
    } else if (text === "") {
      this.#complain("Type what the device is to do.");
      return;
    }
    this.#key ??= newKey();
    byId("command-send").disabled = true;
    this.#complain("");
    try {
      const change = await this.#api.submit(id, command, this.#key);
      if (id !== this.#device) return;
      this.#key = null;
      this.#mine.add(change.id);
      // The topic may have been faster, and knows better.
      this.#show(this.#entries.get(change.id)?.change ?? change);
      byId("command-text").select();
      this.#followMine();
    } catch (error) {
      if (id === this.#device) this.#complain(`Not sent: ${error.message}.`);
    } finally {
      if (id === this.#device) byId("command-send").disabled = false;
    }
  }

  /** Ask for those that have not ended, in case nobody tells. */
  #followMine() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(async () => {
      const id = this.#device;
      for (const commandId of this.#mine) {
        try {
          const change = await this.#api.command(id, commandId);
          if (id !== this.#device) return;
          if (change.is_end && !this.#entries.get(commandId)?.change.is_end) this.#show(change);
          if (change.is_end) this.#mine.delete(commandId);
        } catch (error) {
          if (error.status === 404) this.#mine.delete(commandId);
        }
      }
      if (this.#mine.size > 0 && id === this.#device) this.#followMine();
    }, ASK_AGAIN_MS);
  }

  async #cancel(entry) {
    const id = this.#device;
    entry.fail("");
    try {
      const change = await this.#api.cancel(id, entry.change.id);
      if (id === this.#device && !entry.change.is_end) this.#show(change);
    } catch (error) {
      entry.fail(`Not cancelled: ${error.message}.`);
    }
  }

  #complain(reason) {
    byId("command-error").hidden = reason === "";
    setText(byId("command-error"), reason);
    byId("command-text").setAttribute("aria-invalid", String(reason !== ""));
  }
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null; // cut, or not ours
  }
}

/** `crypto.randomUUID` is missing where a page comes over plain HTTP from another machine. */
function newKey() {
  return format.hex(crypto.getRandomValues(new Uint8Array(16))).replaceAll(" ", "");
}
