// The rows of the devices that were read so far, in the order of their ids.
//
// The list is whole from its first row to its last: `merge` replaces all between two ids by what the server says is there.
// So whatever comes and goes, a page that is read again leaves neither doubles nor ghosts. Rows have one height, so that
// the ones in sight are known without measuring ten thousand, and the browser skips those out of sight.

import { element, setText } from "./dom.js";
import * as format from "./format.js";

/** As the server sorts: by code point. UTF-16, by which `<` goes, differs beyond the basic plane. */
export function compare(a, b) {
  const left = Array.from(a);
  const right = Array.from(b);
  for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
    const difference = left[at].codePointAt(0) - right[at].codePointAt(0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Where a device is in the page's own address. */
function hashOf(id) {
  return `#devices/${encodeURIComponent(id)}`;
}

class Row {
  #parts;

  constructor(id) {
    const part = (className) => element("span", { className });
    this.#parts = {
      status: part("device-status"),
      address: part("device-address"),
      frames: part("device-frames"),
      seen: part("device-seen"),
      tags: part("device-tags"),
    };
    const p = this.#parts;
    const name = element("span", { className: "device-name" }, element("bdi", { attributes: { title: id } }, format.visible(id)), p.tags);
    this.link = element("a", { attributes: { href: hashOf(id) } }, name, p.status, p.address, p.frames, p.seen);
    this.root = element("li", {}, this.link);
    this.device = null;
  }

  update(device, at) {
    this.device = device;
    const p = this.#parts;
    setText(p.address, device.address);
    setText(p.frames, format.shortCount(device.frames));
    setText(p.seen, device.last_seen === null ? "never" : format.ago(at - device.last_seen));
    const tags = Object.entries(device.tags).map(([key, value]) => `${key} ${value}`.trim());
    if (p.tags.dataset.shown !== tags.join("\n")) {
      p.tags.dataset.shown = tags.join("\n");
      p.tags.replaceChildren(...tags.map((text) => element("span", { className: "tag" }, format.visible(text))));
    }
    this.setStatus(device.status);
  }

  setStatus(status) {
    this.device = { ...this.device, status };
    this.root.dataset.state = status;
    setText(this.#parts.status, status);
  }
}

export class DeviceList {
  #list;
  #rows = new Map();
  #ids = [];
  #selected = null;

  /** @param {HTMLElement} list the ul */
  constructor(list) {
    this.#list = list;
    list.addEventListener("keydown", (event) => this.#move(event));
  }

  get size() {
    return this.#ids.length;
  }

  clear() {
    this.#rows.clear();
    this.#ids = [];
    // Chromium takes 2 s to remove ten thousand rows that it skips while out of sight, and 0.1 s if the list is hidden.
    this.#list.hidden = true;
    void this.#list.offsetHeight;
    this.#list.replaceChildren();
    this.#list.hidden = false;
  }

  /**
   * Replace all rows behind one id and up to another.
   *
   * @param {object[]} devices in order
   * @param {string} after not replaced itself; empty for all from the first
   * @param {string | null} until the last one replaced, null for all that follow
   * @param {number} at the server's time
   */
  merge(devices, after, until, at) {
    const begin = after === "" ? 0 : this.#behind(after);
    const end = until === null ? this.#ids.length : this.#behind(until);
    const kept = new Set(devices.map((device) => device.id));
    for (const id of this.#ids.slice(begin, end)) {
      if (kept.has(id)) continue;
      this.#rows.get(id).root.remove();
      this.#rows.delete(id);
    }
    let next = begin > 0 ? this.#rows.get(this.#ids[begin - 1]).root.nextSibling : this.#list.firstChild;
    for (const device of devices) {
      let row = this.#rows.get(device.id);
      if (row === undefined) {
        row = new Row(device.id);
        this.#rows.set(device.id, row);
        if (device.id === this.#selected) row.link.setAttribute("aria-current", "true");
      }
      row.update(device, at);
      if (row.root === next) next = next.nextSibling;
      else this.#list.insertBefore(row.root, next);
    }
    this.#ids.splice(begin, end - begin, ...kept);
  }

  /** Show a status that was just published; false if the device has no row. */
  setStatus(id, status) {
    const row = this.#rows.get(id);
    row?.setStatus(status);
    return row !== undefined;
  }

  select(id) {
    this.#rows.get(this.#selected)?.link.removeAttribute("aria-current");
    this.#selected = id;
    this.#rows.get(id)?.link.setAttribute("aria-current", "true");
  }

  /**
   * Return what to read again for the rows in sight.
   *
   * @param {HTMLElement} scroll what the list scrolls in
   */
  inSight(scroll) {
    const height = this.#list.firstElementChild?.offsetHeight || 1;
    const first = Math.min(Math.max(0, Math.floor(scroll.scrollTop / height) - 1), Math.max(0, this.#ids.length - 1));
    return { after: first > 0 ? this.#ids[first - 1] : "", rows: Math.ceil(scroll.clientHeight / height) + 3 };
  }

  focusFirst() {
    this.#list.querySelector("a")?.focus();
  }

  focus(id) {
    this.#rows.get(id)?.link.focus();
  }

  /** The index of the first id behind one. */
  #behind(id) {
    let low = 0;
    let high = this.#ids.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.#ids[middle], id) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #move(event) {
    const row = event.target.closest("li");
    const to = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling, Home: this.#list.firstElementChild, End: this.#list.lastElementChild }[event.key];
    if (!to || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    to.querySelector("a").focus();
  }
}
