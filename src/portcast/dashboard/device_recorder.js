// The flight recorder of one device: turned on and off here, its frames as they come, and a file of all that is kept.
//
// Frames come by the topics `$recorder/…`, which keep no history: what was recorded before, and while the connection was
// broken, is asked of `api/devices/<id>/frames`. While that question is open what comes live waits; what comes both ways is
// known by its number. All of it is for operators; nothing here is asked for anybody else.

import { Feed } from "./device_feed.js";
import { FRAMES } from "./device_frames.js";
import { byId, setText } from "./dom.js";
import * as format from "./format.js";
import { PublicationTable } from "./table.js";

const PAGE = 1000;
/** Pages that are read for the table, which shows the newest of them: far more than the recorder keeps as installed. */
const MAX_PAGES = 20;
/** Numbers of frames that were shown, and frames that wait for an answer. */
const MAX_KNOWN = 2000;
/** Characters of a file: it is put together in memory. */
const MAX_FILE = 64 * 1024 * 1024;
const KEEP_FILE_MS = 10_000;

export class Recorder {
  #api;
  #base;
  #table;
  #device = null;
  #feed = null;
  #followed = ""; // its topics
  #known = new Set();
  #last = 0;
  #waiting = null; // frames, while a question is open
  #isLoaded = false;
  #round = 0;
  #asked = 0;
  #seen = { status: "", connections: [] };
  #isSwitching = false;

  /**
   * @param {DeviceApi} api
   * @param {URL} base where the gateway is mounted
   */
  constructor(api, base) {
    this.#api = api;
    this.#base = base;
    this.#table = new PublicationTable(byId("frames"), () => this.#showCount(), FRAMES);
    byId("record-start").addEventListener("click", () => this.#switch(true));
    byId("record-stop").addEventListener("click", () => this.#switch(false));
    byId("record-save").addEventListener("click", () => this.#save());
  }

  /** Begin with another device, or with none. */
  use(id) {
    this.#device = id;
    this.#unfollow();
    this.#table.reset();
    this.#known.clear();
    this.#last = 0;
    this.#isLoaded = false;
    this.#asked += 1;
    for (const part of ["record-how", "record-stop", "record-save"]) byId(part).hidden = true;
    setText(byId("record-state"), "");
    setText(byId("record-said"), "");
    this.#complain("");
    this.#showCount();
  }

  /** Ask whether the device is recorded, whose state was just told. */
  async update(device) {
    const id = this.#device;
    this.#seen = device;
    this.#asked += 1;
    const asked = this.#asked;
    try {
      const [{ rules }, { is_recording: isRecording }] = await Promise.all([this.#api.recorder(), this.#api.frames(id, 0, 1)]);
      if (asked !== this.#asked) return;
      const own = rules.find(({ rule }) => rule === ruleOf(id));
      this.#show(own, isRecording, device.status);
      if (own !== undefined || isRecording) this.#follow(device.connections);
      else if (this.#feed !== null) this.#unfollow();
      if (!this.#isLoaded && this.#waiting === null) this.#load();
    } catch (error) {
      if (asked === this.#asked) setText(byId("record-state"), `What is recorded cannot be read: ${error.message}.`);
    }
  }

  #show(own, isRecording, status) {
    const until = own?.until ?? null;
    const parts = [];
    if (own !== undefined) {
      parts.push(until === null ? "It is recorded until somebody ends it." : `It is recorded until ${format.moment(until)}.`);
      if (status !== "online" && !isRecording) parts.push("It is away: its frames come when it is back, its login among them.");
    } else if (isRecording) {
      parts.push("It is recorded by a rule that means others, too; portcast record or the HTTP API ends that.");
    } else {
      parts.push("Its raw frames are not recorded. They may hold what nobody should see: positions, passwords.");
    }
    // `*` at the end of a rule stands for any rest.
    const isPattern = this.#device.endsWith("*");
    if (isPattern) parts.push("A rule for this id would mean others, too: record its connection, with portcast record.");
    setText(byId("record-state"), parts.join(" "));
    const hasFocus = [byId("record-start"), byId("record-stop")].includes(document.activeElement);
    byId("record-how").hidden = own !== undefined || isPattern;
    byId("record-stop").hidden = own === undefined;
    if (hasFocus) byId(own === undefined ? "record-start" : "record-stop").focus();
  }

  #follow(connections) {
    // Frames are the connection's where several devices speak on it, or where it has not said whose it is.
    const topics = [`$recorder/devices/${this.#device}`, ...connections.slice(0, 20).map((one) => `$recorder/connections/${one}`)];
    if (this.#followed === topics.join()) return;
    this.#unfollow();
    this.#followed = topics.join();
    this.#feed = new Feed({
      base: this.#base,
      topics,
      onData: (data) => this.#received(JSON.parse(data)),
      onMissed: () => this.#load(),
      onRefused: (reason) => this.#complain(`Frames cannot be shown as they come: ${reason}.`),
    });
  }

  #unfollow() {
    this.#feed?.close();
    this.#feed = null;
    this.#followed = "";
    this.#round += 1;
    this.#waiting = null;
  }

  #received(frame) {
    if (this.#waiting === null) this.#add(frame);
    else if (this.#waiting.push(frame) > MAX_KNOWN) this.#waiting.shift();
  }

  /** Show what is kept and was not shown yet. */
  async #load() {
    const id = this.#device;
    this.#round += 1;
    const round = this.#round;
    this.#waiting ??= [];
    let newest = [];
    try {
      for await (const frames of this.#pages(id, this.#last, MAX_PAGES)) {
        if (round !== this.#round) return;
        newest = newest.concat(frames).slice(-FRAMES.maxRows);
      }
      this.#isLoaded = true;
      this.#complain("");
    } catch (error) {
      if (round !== this.#round) return;
      this.#complain(`What is kept cannot be read: ${error.message}.`);
    }
    if (round !== this.#round) return;
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const frame of [...newest, ...waiting]) this.#add(frame);
  }

  /** Read pages of what is kept, oldest first. */
  async *#pages(id, after, most) {
    for (let page = 0; page < most && after !== null; page += 1) {
      const { frames, next } = await this.#api.frames(id, after, PAGE);
      yield frames;
      after = next;
    }
  }

  #add(frame) {
    if (this.#known.has(frame.number)) return;
    this.#known.add(frame.number);
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.values().next().value);
    this.#last = Math.max(this.#last, frame.number);
    if (frame.skipped > 0) this.#table.note(`${format.count(frame.skipped)} frames were too fast to be recorded`);
    this.#table.receive(frame);
  }

  #showCount() {
    const { rows, received, isEmpty } = this.#table;
    byId("frames").parentElement.hidden = isEmpty;
    byId("record-save").hidden = received === 0;
    setText(byId("frames-count"), received > rows ? `The newest ${format.count(rows)} of ${format.count(received)} that came here; the file has all that is kept.` : "");
  }

  async #switch(isOn) {
    if (this.#isSwitching) return; // and not disabled, which would lose the focus
    this.#isSwitching = true;
    const id = this.#device;
    this.#complain("");
    try {
      if (isOn) await this.#api.record(ruleOf(id), Number(byId("record-for").value));
      else await this.#api.stopRecording(ruleOf(id)).catch(unlessGone);
      if (id !== this.#device) return;
      setText(byId("record-said"), isOn ? "Recording." : "Recording has ended; what was recorded stays for a while.");
      this.update(this.#seen);
    } catch (error) {
      if (id === this.#device) this.#complain(`${isOn ? "Not recorded" : "Not ended"}: ${error.message}.`);
    } finally {
      this.#isSwitching = false;
    }
  }

  /** Save all that is kept, one JSON object on a line, as `portcast record --show --json` prints it. */
  async #save() {
    const id = this.#device;
    byId("record-save").disabled = true;
    this.#complain("");
    const lines = [];
    let size = 0;
    try {
      for await (const frames of this.#pages(id, 0, Infinity)) {
        for (const frame of frames) {
          const line = `${JSON.stringify(frame)}\n`;
          lines.push(line);
          size += line.length;
        }
        if (size > MAX_FILE) {
          this.#complain(`The file ends after ${format.bytes(size)}; portcast record --show --json gives all.`);
          break;
        }
      }
      if (lines.length === 0) this.#complain("Nothing is kept any more.");
      else save(lines, `frames-${id.replace(/[^\w.-]/g, "_")}.jsonl`);
    } catch (error) {
      if (id === this.#device) this.#complain(`Not saved: ${error.message}.`);
    } finally {
      byId("record-save").disabled = false;
    }
  }

  #complain(reason) {
    byId("record-error").hidden = reason === "";
    setText(byId("record-error"), reason);
  }
}

function ruleOf(id) {
  return `device:${id}`;
}

/** The rule has ended by itself: that is what was wanted. */
function unlessGone(error) {
  if (error.status !== 404) throw error;
}

function save(parts, name) {
  const address = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), KEEP_FILE_MS);
}
