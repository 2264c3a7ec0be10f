// The connections of one device, each with a button that closes it.

import { confirmed } from "./confirm.js";
import { byId, element, setText } from "./dom.js";
import * as format from "./format.js";

/** A device with `takeover = "allow"` may have any number. */
const SHOWN = 20;

class Row {
  #peer = element("code", { className: "connection-peer" });
  #facts = element("span", { className: "hint" });
  #close = element("button", { className: "needs-operator", attributes: { type: "button" } }, "Close");
  #isClosing = false;

  constructor(onClose) {
    // Not disabled while it is being closed: that would lose the focus.
    this.#close.addEventListener("click", () => this.#isClosing || onClose(this));
    this.root = element("li", {}, element("div", {}, this.#peer, this.#facts), this.#close);
  }

  update(connection) {
    this.connection = connection;
    const { peer, listener, opened_at, frames, bytes_received, is_reading } = connection;
    const facts = [listener, `since ${format.moment(opened_at)}`, `${format.count(frames)} ${frames === 1 ? "frame" : "frames"}, ${format.bytes(bytes_received)}`];
    if (!is_reading) facts.push("not read at present");
    setText(this.#peer, format.visible(peer));
    setText(this.#facts, format.visible(facts.join(" · ")));
    this.root.title = `Connection ${connection.id}`;
    this.#close.setAttribute("aria-label", `Close the connection from ${format.visible(peer)}`);
  }

  setClosing(isClosing) {
    this.#isClosing = isClosing;
    this.#close.setAttribute("aria-disabled", String(isClosing));
    setText(this.#close, isClosing ? "Closing …" : "Close");
  }
}

export class Connections {
  #api;
  #onChange;
  #rows = new Map(); // by the connection's id
  #device = null;

  /**
   * @param {DeviceApi} api
   * @param {() => void} onChange one was closed
   */
  constructor(api, onChange) {
    this.#api = api;
    this.#onChange = onChange;
  }

  /** Begin with another device, or with none. */
  use(id) {
    this.#device = id;
    this.#rows.clear();
    byId("connections").replaceChildren();
    this.#complain("");
    setText(byId("connections-hint"), "");
    setText(byId("connections-said"), "");
  }

  /** Show the connections that a device has, which were just told. */
  async update(ids) {
    const id = this.#device;
    if (ids.length === 0) {
      this.#show([], 0);
      return;
    }
    try {
      const { connections } = await this.#api.connections(id, SHOWN);
      if (id === this.#device) this.#show(connections, ids.length);
    } catch (error) {
      if (id === this.#device) this.#complain(`The connections cannot be read: ${error.message}.`);
    }
  }

  #show(connections, number) {
    const list = byId("connections");
    const ids = new Set(connections.map((one) => one.id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      if (row.root.contains(document.activeElement)) byId("connections-title").focus();
      row.root.remove();
      this.#rows.delete(id);
    }
    for (const one of connections) {
      let row = this.#rows.get(one.id);
      if (row === undefined) {
        row = new Row((which) => this.#close(which));
        this.#rows.set(one.id, row);
        list.append(row.root);
      }
      row.update(one);
    }
    const rest = number - connections.length;
    setText(byId("connections-hint"), number === 0 ? "It has none now." : rest > 0 && connections.length === SHOWN ? `… and ${format.count(rest)} more.` : "");
  }

  async #close(row) {
    const id = this.#device;
    const { connection } = row;
    const peer = format.visible(connection.peer);
    const others = connection.devices.length - 1;
    const text =
      "What was sent to it goes out first; frames that were not handled yet are dropped. Most devices connect again." +
      (others > 0 ? ` Other devices speak on this connection, too (${others === 9 ? "9 or more" : others}): they lose it as well.` : "");
    const isWanted = await confirmed({ title: `Close the connection from ${peer}?`, text, action: "Close connection" });
    if (!isWanted || id !== this.#device) return;
    row.setClosing(true);
    this.#complain("");
    try {
      await this.#api.close(connection.id);
    } catch (error) {
      // 404: it has gone by itself, which is what was wanted.
      if (error.status !== 404) {
        row.setClosing(false);
        if (id === this.#device) this.#complain(`Not closed: ${error.message}.`);
        return;
      }
    }
    if (id === this.#device) setText(byId("connections-said"), `The connection from ${peer} is being closed.`);
    this.#onChange();
  }

  #complain(reason) {
    byId("connections-error").hidden = reason === "";
    setText(byId("connections-error"), reason);
  }
}
