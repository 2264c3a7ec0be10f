// One device: what is known of it, its connections, its commands, its raw frames, and what is published on topics that
// bear its id. Who is no operator sees nothing to press, and why; the server checks it again.

import { takeBack } from "./confirm.js";
import { Commands } from "./device_commands.js";
import { Connections } from "./device_connections.js";
import { Recorder } from "./device_recorder.js";
import { byId, element, setText } from "./dom.js";
import * as format from "./format.js";
import { Stream } from "./stream.js";
import { PublicationTable } from "./table.js";

/** Nobody says which publications are a device's; most applications give them its id as a level. */
const topicsOf = (id) => [`${id}/#`, `+/${id}/#`, `+/+/${id}/#`];

/** What a command does meanwhile. */
const AWAY = { offline: "It is away: a command waits until it is back.", quarantined: "It is quarantined: a command waits until it is approved." };

export class DeviceDetail {
  #api;
  #base;
  #commands;
  #connections;
  #recorder;
  #mayChange = true;
  #knowsRole = false; // asked once for each device that is shown
  #table;
  #streams = [];
  #onChange;
  #isAsking = false;
  #problem = "";
  #refusal = "";
  id = null;

  /**
   * @param {object} options
   * @param {DeviceApi} options.api
   * @param {URL} options.base where the gateway is mounted
   * @param {(topic: string) => void} options.onTopic a message's topic was clicked
   * @param {() => void} options.onChange the device was approved
   */
  constructor({ api, base, onTopic, onChange }) {
    this.#api = api;
    this.#base = base;
    this.#onChange = onChange;
    this.#commands = new Commands(api);
    this.#connections = new Connections(api, () => this.refresh());
    this.#recorder = new Recorder(api, base);
    this.#table = new PublicationTable(byId("device-rows"), () => this.#tableChanged());
    byId("device-rows").addEventListener("topic", (event) => onTopic(event.detail));
    byId("device-approve").addEventListener("click", () => this.#approve());
  }

  /** Show a device, or none. */
  show(id) {
    if (id === this.id) return;
    this.id = id;
    this.#knowsRole = false;
    for (const stream of this.#streams) stream.close();
    this.#streams = [];
    this.#table.reset();
    this.#refusal = "";
    for (const part of [this.#commands, this.#connections, this.#recorder]) part.use(id);
    takeBack();
    this.#complain("");
    byId("device").hidden = id === null;
    if (id === null) return;
    byId("device").scrollTop = 0;
    setText(byId("device-id"), format.visible(id));
    for (const target of [byId("device-status"), byId("device-facts")]) target.replaceChildren();
    byId("device-approve").hidden = true;
    delete byId("device").dataset.state;
    setText(byId("command-waits"), "");
    this.#follow([`$devices/${id}/commands`], (envelope) => this.#commands.receive(envelope), null);
    this.#follow(topicsOf(id), (envelope) => this.#table.receive(envelope), this.#table);
    this.#tableChanged();
    this.refresh();
  }

  /** Ask again what is known. */
  async refresh() {
    const id = this.id;
    if (id === null || this.#isAsking) return;
    this.#isAsking = true;
    try {
      if (!this.#knowsRole) await this.#askRole();
      const device = await this.#api.device(id);
      if (id === this.id) this.#update(device);
    } catch (error) {
      if (id === this.id) this.#complain(`${error.message}.`);
    } finally {
      this.#isAsking = false;
    }
    if (id !== this.id) this.refresh();
  }

  async #askRole() {
    const { role, topics } = await this.#api.session();
    this.#mayChange = role === "operator" && topics.length === 0;
    this.#knowsRole = true;
    byId("device").classList.toggle("read-only", !this.#mayChange);
    const limit = topics.length > 0 ? ", limited to topics," : ",";
    setText(byId("device-role"), this.#mayChange ? "" : `Your role, ${role}${limit} may look. To approve, command, close connections and record takes an operator.`);
  }

  /** Show a status that was just published. */
  setStatus(status) {
    setText(byId("device-status"), status);
    byId("device").dataset.state = status;
    byId("device-approve").hidden = status !== "quarantined";
    setText(byId("command-waits"), status === "online" ? "" : ` ${AWAY[status] ?? ""}`);
    this.#tableChanged();
  }

  #follow(filter, onMessage, table) {
    let last = null;
    this.#streams.push(
      new Stream({
        base: this.#base,
        filter,
        onMessage: (envelope) => {
          last = envelope.id ?? last;
          onMessage(envelope);
        },
        onGap: (gap) => table?.gap(gap),
        onState: (state, { reason }) => {
          if (table === null || state !== "refused") return;
          this.#refusal = reason;
          setText(byId("device-messages-hint"), `They cannot be shown: ${reason}.`);
        },
        since: () => last,
      }),
    );
  }

  #tableChanged() {
    if (this.id === null) return;
    const isEmpty = this.#table.isEmpty;
    byId("device-rows").parentElement.hidden = isEmpty;
    if (this.#refusal !== "") return;
    const isQuarantined = byId("device").dataset.state === "quarantined";
    const none = isQuarantined ? "What it sends goes nowhere until it is approved." : `Nothing was published yet on a topic with its id as a level, such as readings/${this.id}.`;
    setText(byId("device-messages-hint"), isEmpty ? none : "What is published on topics with its id as a level.");
  }

  #update(device) {
    this.#complain("");
    this.setStatus(device.status);
    this.#connections.update(device.connections);
    if (this.#mayChange) this.#recorder.update(device);
    const number = device.connections.length;
    const facts = [
      ["Last seen", device.last_seen === null ? "never" : format.moment(device.last_seen)],
      ["First seen", device.first_seen === null ? "never" : format.moment(device.first_seen)],
      ["Address", device.address || "none yet"],
      ["Messages", `${format.count(device.frames)}, ${format.bytes(device.payload_bytes)}`],
      ["Connections", `${number === 0 ? "none" : format.count(number)} now, ${format.count(device.attached)} in all`],
      ["Known", device.is_known ? "yes" : "no"],
      ...Object.entries(device.tags).map(([key, value]) => [format.visible(key), format.visible(value)]),
    ];
    const key = JSON.stringify(facts);
    if (byId("device-facts").dataset.shown === key && byId("device-facts").childElementCount > 0) return;
    byId("device-facts").dataset.shown = key;
    byId("device-facts").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  }

  async #approve() {
    const id = this.id;
    byId("device-approve").disabled = true;
    try {
      const device = await this.#api.approve(id);
      if (id === this.id) {
        this.#update(device);
        byId("device-id").focus(); // the button is gone
      }
      this.#onChange();
    } catch (error) {
      if (id === this.id) this.#complain(`Not approved: ${error.message}.`);
    } finally {
      byId("device-approve").disabled = false;
    }
  }

  #complain(reason) {
    if (this.#problem === reason) return;
    this.#problem = reason;
    byId("device-problem").hidden = reason === "";
    setText(byId("device-problem"), reason);
  }
}
