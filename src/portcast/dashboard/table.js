// The newest publications, newest on top; also frames of the flight recorder, which are read and headed otherwise.
//
// receive() costs almost nothing: it keeps the envelope. A flush makes rows of it, in an animation frame, at most
// ROWS_PER_FLUSH of them and not before FLUSH_INTERVAL_MS have passed since the last: nobody reads faster, and the
// page stays free for the reader's clicks. What waits beyond the most rows would be pushed out of the table before anyone
// saw it, so it is dropped and counted in a row of its own. A hidden tab gets no animation frames and so does
// no work; pausing is the same by hand. Invariant: received = rows ever made + passed over + waiting.

import { element, setText } from "./dom.js";
import * as format from "./format.js";

const MAX_ROWS = 500;
/** 1250 rows a second at most. Chromium without a graphics card needs half of a core for these. */
const ROWS_PER_FLUSH = 100;
const FLUSH_INTERVAL_MS = 80;
const PREVIEW_CHARACTERS = 300;
const PREVIEW_BYTES = 64;
/** Longer data may not fit its line and gets a button for the keyboard; a click opens every row. */
const MAYBE_LONG = 40;
/** A frame may have a megabyte; five hundred of them should not stay in a browser. */
const KEPT_CHARACTERS = 131_072;
const COLOURS = 8;

/** A row that is not a publication, on its way. */
class Note {
  constructor(text) {
    this.text = text;
  }
}

function gapText({ missed = 1, exact = false }) {
  // With a new process numbers begin anew, and all that it can say is that there may have been something.
  if (missed === 1 && !exact) return "the server was restarted: what came meanwhile is unknown";
  const what = missed === 1 ? "publication was" : "publications were";
  return `${exact ? "" : "at least "}${format.count(missed)} ${what} missed while disconnected`;
}

/**
 * How entries become rows: `read` makes a record ({text, bytes, preview, isLong, isCut, size, badge, …}, see toRecord), and
 * `heads` the first three cells.
 */
const PUBLICATIONS = { maxRows: MAX_ROWS, read: toRecord, heads: publicationHeads };

export class PublicationTable {
  #body;
  #onChange;
  #kind;
  #waiting = [];
  #passedOver = 0;
  #passedWhilePaused = 0;
  #newestId = null;
  #records = new Map(); // row element -> what it shows, oldest first
  #colours = new Map();
  #needle = "";
  #isScheduled = false;
  #flushedAt = -Infinity;
  #receivedAtPause = 0;
  received = 0;
  matching = 0;
  isPaused = false;

  /**
   * @param {HTMLElement} body the tbody
   * @param {() => void} onChange after the rows or the counts changed, at most once per flush
   * @param {{maxRows: number, read: Function, heads: Function}} kind what the rows show
   */
  constructor(body, onChange, kind = PUBLICATIONS) {
    this.#body = body;
    this.#onChange = onChange;
    this.#kind = kind;
    body.addEventListener("click", (event) => this.#clicked(event));
  }

  get rows() {
    return this.#records.size;
  }

  get passedSincePause() {
    return this.isPaused ? this.received - this.#receivedAtPause : 0;
  }

  /** True if there is nothing to see and nothing on its way. */
  get isEmpty() {
    return this.#body.childElementCount === 0 && this.#waiting.length === 0 && this.#passedOver === 0;
  }

  /** Take one publication. */
  receive(envelope) {
    this.received += 1;
    this.#newestId = envelope.id ?? null;
    this.#waiting.push(envelope);
    if (this.#waiting.length >= 2 * this.#kind.maxRows) this.#passOver();
    this.#schedule();
  }

  /** Add a row that says what is gone for good. */
  gap(gap) {
    this.note(gapText(gap));
  }

  /** Add a row that is not a publication. */
  note(text) {
    this.#waiting.push(new Note(text));
    this.#schedule();
  }

  /** The id of the newest publication received, shown or not: where a new connection goes on. */
  lastId() {
    return this.#newestId;
  }

  pause() {
    this.isPaused = true;
    this.#receivedAtPause = this.received;
    this.#schedule();
  }

  resume() {
    this.isPaused = false;
    this.#schedule();
  }

  /** Forget the rows and the counts; the place to go on from stays. */
  clear() {
    this.#waiting = [];
    this.#passedOver = 0;
    this.#passedWhilePaused = 0;
    this.#records.clear();
    this.#body.replaceChildren();
    this.received = 0;
    this.matching = 0;
    this.#receivedAtPause = 0;
    this.#schedule();
  }

  /** Forget everything, for another filter. */
  reset() {
    this.clear();
    this.#newestId = null;
  }

  /** Show only rows whose topic or data contain `text`, in any case. */
  search(text) {
    this.#needle = text.toLowerCase();
    this.matching = 0;
    for (const [row, record] of this.#records) this.#match(row, record);
    this.#schedule();
  }

  #passOver() {
    // Down to the newest that fit; done at twice that, so that the copying is spread over many messages.
    const passed = this.#waiting.splice(0, this.#waiting.length - this.#kind.maxRows);
    const notes = passed.filter((entry) => entry instanceof Note);
    this.#passedOver += passed.length - notes.length;
    if (this.isPaused) this.#passedWhilePaused += passed.length - notes.length;
    this.#waiting.unshift(...notes);
  }

  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const wait = this.#flushedAt + FLUSH_INTERVAL_MS - performance.now();
    const inFrame = () => requestAnimationFrame(() => this.#flush());
    if (wait > 0) setTimeout(inFrame, wait);
    else inFrame();
  }

  #flush() {
    this.#isScheduled = false;
    this.#flushedAt = performance.now();
    if (!this.isPaused) {
      if (this.#waiting.length > this.#kind.maxRows) this.#passOver();
      const made = [];
      if (this.#passedOver > 0) made.push(this.#passedOverRow());
      for (const entry of this.#waiting.splice(0, ROWS_PER_FLUSH)) {
        made.push(entry instanceof Note ? noteRow(entry.text) : this.#newRow(entry));
      }
      this.#body.prepend(...made.reverse());
      this.#trim();
      if (this.#waiting.length > 0) this.#schedule();
    }
    this.#onChange();
  }

  #trim() {
    while (this.#body.childElementCount > this.#kind.maxRows) {
      const oldest = this.#body.lastElementChild;
      if (this.#records.delete(oldest) && !oldest.hidden) this.matching -= 1;
      oldest.remove();
    }
  }

  #passedOverRow() {
    const why = this.#passedOver === this.#passedWhilePaused ? "while paused" : "too fast to be shown";
    const row = noteRow(`${format.count(this.#passedOver)} passed ${why}`);
    this.#passedOver = 0;
    this.#passedWhilePaused = 0;
    return row;
  }

  #newRow(entry) {
    const record = this.#kind.read(entry);
    const data = element("td", { className: "data", attributes: { role: "cell" } });
    if (record.badge) data.append(element("span", { className: "badge" }, record.badge));
    data.append(element("span", { className: "text" }, record.preview));
    if (record.isLong) {
      const label = record.size ? `Show all ${record.size}` : "Show all";
      data.append(element("button", { className: "more", attributes: { type: "button", "aria-expanded": "false", "aria-label": label } }));
    }
    const className = record.className ?? `t${this.#colour(record.topic)}`;
    const row = element("tr", { className, attributes: { role: "row" } }, ...this.#kind.heads(record), data);
    this.#records.set(row, record);
    this.#match(row, record);
    return row;
  }

  /** Colours go out in order of appearance, so that the first eight topics never share one. */
  #colour(topic) {
    let colour = this.#colours.get(topic);
    if (colour === undefined) {
      if (this.#colours.size >= 1000) this.#colours.clear();
      colour = this.#colours.size % COLOURS;
      this.#colours.set(topic, colour);
    }
    return colour;
  }

  #match(row, record) {
    const isMatch = this.#needle === "" || searchable(record).includes(this.#needle);
    row.hidden = !isMatch;
    if (isMatch) this.matching += 1;
  }

  #clicked(event) {
    const row = event.target.closest("tr");
    const record = this.#records.get(row);
    if (record === undefined) return;
    if (event.target.closest(".topic")) {
      this.#body.dispatchEvent(new CustomEvent("topic", { bubbles: true, detail: record.topic }));
    } else if (event.target.closest(".more") || String(getSelection()) === "") {
      toggle(row, record); // not while text is being selected
    }
  }
}

function noteRow(text) {
  const cell = element("td", { attributes: { role: "cell", colspan: "4" } }, element("span", {}, text));
  return element("tr", { className: "note", attributes: { role: "row" } }, cell);
}

function publicationHeads(record) {
  const topic = element("button", { className: "topic", attributes: { type: "button", title: "Show this topic only" } }, record.topic);
  return [
    timeCell(record.time),
    element("td", { className: "topic-cell", attributes: { role: "cell" } }, topic),
    element("td", { className: "offset", attributes: { role: "cell" } }, String(record.offset)),
  ];
}

/** The cell that says when, in Unix seconds. */
export function timeCell(seconds) {
  const text = Number.isFinite(seconds) ? format.clock(seconds) : "";
  return element("td", { className: "time", attributes: { role: "cell", title: format.isoTime(seconds) } }, text);
}

function toRecord(message) {
  const { topic = "", offset = 0, time = NaN } = message;
  const record = { topic, offset, time, bytes: null, text: "", badge: "" };
  if (typeof message.base64 === "string") {
    record.badge = "hex";
    record.bytes = format.fromBase64(message.base64.slice(0, KEPT_CHARACTERS));
    const whole = Math.floor((message.base64.replace(/=+$/, "").length * 3) / 4);
    record.isLong = whole > MAYBE_LONG / 3;
    record.preview = format.hex(record.bytes, PREVIEW_BYTES) + (whole > PREVIEW_BYTES ? " …" : "");
    record.size = format.bytes(whole);
    record.isCut = record.bytes.length < whole;
  } else {
    const text = String(message.data ?? "");
    record.text = text.slice(0, KEPT_CHARACTERS);
    record.isLong = text.length > MAYBE_LONG || text.includes("\n");
    record.preview = format.visible(text.slice(0, PREVIEW_CHARACTERS)) + (text.length > PREVIEW_CHARACTERS ? " …" : "");
    record.size = text.length > PREVIEW_CHARACTERS ? `${format.count(text.length)} characters` : "";
    record.isCut = record.text.length < text.length;
  }
  return record;
}

function searchable(record) {
  const data = record.bytes === null ? record.text : format.hex(record.bytes);
  return `${record.topic}\n${data}`.toLowerCase();
}

function toggle(row, record) {
  const isOpen = row.classList.toggle("open");
  let text = record.preview;
  if (isOpen) {
    text = record.bytes === null ? format.visible(record.text, true) : format.hexDump(record.bytes);
    if (record.isCut) text += `\n… cut here, ${record.size} in all`;
  }
  setText(row.querySelector(".text"), text);
  row.querySelector(".more")?.setAttribute("aria-expanded", String(isOpen));
}
