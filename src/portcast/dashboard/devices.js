// The devices' view: a list that is read in pages, kept true by presence and by reading what is in sight again.
//
// The page's own address says what is shown: `#devices`, `#devices/<id>`, anything else is publications. Nothing here is
// asked or followed until the view is opened for the first time.

import { DeviceApi } from "./device_api.js";
import { DeviceDetail } from "./device_detail.js";
import { compare, DeviceList } from "./device_list.js";
import { byId, element, setText } from "./dom.js";
import * as format from "./format.js";
import { Stream } from "./stream.js";
import { command } from "./welcome.js";

const PAGE = 100;
const REFRESH_MS = 2000;
/** After a change of presence: many come at once when a network is back. */
const SOON_MS = 300;
const TYPING_MS = 200;
const STATUS = "$devices/+/status";
const EXAMPLE = '@gateway.listen("tcp://127.0.0.1:9101", identify=lambda message: message.device)';

export class Devices {
  #api;
  #list;
  #detail;
  #stream = null;
  #isShown = false;
  #search = "";
  #status = "";
  #end = ""; // where the list ends: behind this id there is more; null if there is none
  #abort = new AbortController();
  #isLoading = false;
  #isRefreshing = false;
  #timer = 0;
  #typing = 0;
  #counts = { online: 0, offline: 0, quarantined: 0 };
  #due = 0;
  #observer;
  #base;

  /**
   * @param {object} options
   * @param {URL} options.base where the gateway is mounted
   * @param {(topic: string) => void} options.onTopic show the publications of a topic
   */
  constructor({ base, onTopic }) {
    this.#base = base;
    this.#api = new DeviceApi(base);
    this.#list = new DeviceList(byId("device-list"));
    const showTopic = (topic) => {
      location.hash = "#publications";
      onTopic(topic);
    };
    this.#detail = new DeviceDetail({ api: this.#api, base, onTopic: showTopic, onChange: () => this.#soon() });
    this.#observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.#more(), { root: byId("device-scroll"), rootMargin: "300px" });
    byId("device-more").addEventListener("click", () => this.#more());
    byId("device-scroll").addEventListener("scroll", () => this.#soon(), { passive: true });
    byId("device-search").addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#find(byId("device-search").value.trim(), this.#status), TYPING_MS);
    });
    byId("device-search").addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        this.#list.focusFirst();
      }
    });
    byId("device-statuses").addEventListener("click", (event) => {
      const chosen = event.target.closest("button");
      if (chosen !== null) this.#find(this.#search, chosen.dataset.status);
    });
    byId("device").addEventListener("keydown", (event) => {
      if (event.key === "Escape") location.hash = "#devices";
    });
    byId("skip").addEventListener("click", (event) => {
      if (!this.#isShown) return;
      event.preventDefault();
      byId("devices-view").focus();
    });
    document.addEventListener("visibilitychange", () => this.#soon());
    addEventListener("hashchange", () => this.#route());
    this.#route();
  }

  /** Somebody has logged in: what was refused may be allowed now. */
  reopen() {
    this.#stream?.close();
    this.#stream = null;
    this.#detail.show(null);
    this.#end = "";
    this.#isShown = false;
    this.#route();
  }

  /** Say how many devices there are, as the server just told. */
  showTotal(total) {
    setText(byId("device-total"), total > 0 ? format.shortCount(total) : "");
  }

  // --- which view ---------------------------------------------------------------------------------------------------

  #route() {
    const { isDevices, id } = wanted(location.hash);
    const wasShown = this.#isShown;
    this.#isShown = isDevices;
    const view = isDevices ? "devices" : "publications";
    document.querySelector("main").dataset.view = view;
    for (const link of document.querySelectorAll(".views a")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    byId("devices-view").hidden = !isDevices;
    byId("publications").hidden = isDevices;
    setText(byId("skip"), isDevices ? "Skip to devices" : "Skip to publications");
    const before = this.#detail.id;
    this.#detail.show(isDevices ? id : null);
    this.#list.select(id);
    byId("devices-view").classList.toggle("has-device", id !== null);
    if (isDevices && id !== null && before !== id) byId("device-id").focus();
    else if (isDevices && before !== null && id === null) this.#list.focus(before);
    if (isDevices && !wasShown) this.#open();
    if (!isDevices) {
      clearTimeout(this.#timer);
      this.#timer = 0;
    }
  }

  #open() {
    if (this.#stream === null) {
      let last = null;
      this.#stream = new Stream({
        base: this.#base,
        filter: STATUS,
        onMessage: (envelope) => {
          last = envelope.id ?? last;
          this.#heard(envelope);
        },
        onGap: () => this.#soon(),
        onState: () => {}, // what the header says of the server is true of this connection, too
        since: () => last,
      });
      this.#find(this.#search, this.#status);
    }
    this.#soon();
  }

  #heard({ topic, data }) {
    const id = topic.split("/")[1];
    let status;
    try {
      ({ status } = JSON.parse(data));
    } catch {
      return;
    }
    this.#list.setStatus(id, status);
    if (id === this.#detail.id) {
      this.#detail.setStatus(status);
      this.#detail.refresh();
    }
    this.#soon();
  }

  // --- pages --------------------------------------------------------------------------------------------------------

  #find(search, status) {
    if (this.#end !== "" && search === this.#search && status === this.#status) return;
    this.#search = search;
    this.#status = status;
    for (const one of byId("device-statuses").children) one.setAttribute("aria-pressed", String(one.dataset.status === status));
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#isLoading = false;
    this.#end = "";
    this.#more();
  }

  /** Read the next page. */
  async #more() {
    if (this.#isLoading || this.#end === null) return;
    this.#isLoading = true;
    const { signal } = this.#abort;
    let found = 0;
    try {
      // With a filter a page may be short or empty and not the last.
      while (found < PAGE / 2 && this.#end !== null) {
        const isFirst = this.#end === "";
        const body = await this.#ask(this.#end, PAGE, signal);
        if (isFirst) {
          this.#list.clear();
          byId("device-scroll").scrollTop = 0;
        }
        this.#take(body, this.#end);
        this.#end = body.next;
        found += body.devices.length;
      }
    } catch (error) {
      if (signal.aborted) return;
      this.#complain(`The devices cannot be read: ${error.message}.`);
    } finally {
      if (!signal.aborted) {
        this.#isLoading = false;
        this.#showEnd();
      }
    }
  }

  /** Read what is in sight again. */
  async #refresh() {
    if (!this.#isShown || document.hidden || this.#isRefreshing) return;
    this.#isRefreshing = true;
    const { signal } = this.#abort;
    this.#detail.refresh();
    try {
      if (this.#end === "") {
        await this.#more();
      } else if (!this.#isLoading) {
        const { after, rows } = this.#list.inSight(byId("device-scroll"));
        const body = await this.#ask(after, Math.min(Math.max(rows, 20), 2 * PAGE), signal);
        if (this.#isLoading) return; // the next page is on its way and moves the end
        const isPast = this.#end !== null && (body.next === null || compare(body.next, this.#end) > 0);
        this.#take(body, after);
        if (isPast) this.#end = body.next;
        this.#showEnd();
      }
    } catch (error) {
      if (!signal.aborted) this.#complain(`This list is not current: ${error.message}.`);
    } finally {
      this.#isRefreshing = false;
    }
  }

  async #ask(after, limit, signal) {
    const body = await this.#api.list({ search: this.#search, status: this.#status, after, limit }, signal);
    signal.throwIfAborted();
    return body;
  }

  #take(body, after) {
    this.#complain("");
    this.#counts = body.counts;
    this.#list.merge(body.devices, after, body.next, body.at);
  }

  #soon(milliseconds = SOON_MS) {
    if (!this.#isShown) return;
    const at = performance.now() + milliseconds;
    if (this.#timer !== 0 && this.#due <= at) return;
    clearTimeout(this.#timer);
    this.#due = at;
    this.#timer = setTimeout(async () => {
      this.#timer = 0;
      await this.#refresh();
      this.#soon(REFRESH_MS);
    }, milliseconds);
  }

  #showEnd() {
    const { online, offline, quarantined } = this.#counts;
    const total = online + offline + quarantined;
    const isFiltered = this.#search !== "" || this.#status !== "";
    const numbers = { "": total, online, offline, quarantined };
    for (const one of byId("device-statuses").children) setText(one.querySelector("span"), format.shortCount(numbers[one.dataset.status]));
    byId("device-statuses").classList.toggle("has-quarantined", quarantined > 0);
    this.showTotal(total);
    const hasMore = this.#end !== null;
    byId("device-more").hidden = !hasMore;
    this.#observer.disconnect();
    if (hasMore) this.#observer.observe(byId("device-more"));
    const shown = format.count(this.#list.size);
    const what = isFiltered ? "that match" : `of ${format.count(total)}`;
    setText(byId("device-count"), total === 0 ? "" : hasMore ? `The first ${shown} ${what}` : isFiltered ? `${shown} of ${format.count(total)} match` : `All ${shown}`);
    this.#showEmpty(this.#list.size === 0 && !hasMore, total);
  }

  #showEmpty(isEmpty, total) {
    byId("device-empty").hidden = !isEmpty;
    document.querySelector(".device-columns").hidden = isEmpty;
    byId("devices-view").classList.toggle("has-none", isEmpty && total === 0);
    const key = isEmpty ? String(total === 0) : "";
    if (!isEmpty || byId("device-empty").dataset.shown === key) return;
    byId("device-empty").dataset.shown = key;
    setText(byId("device-empty-title"), total === 0 ? "No device yet" : "No device matches");
    const how = element("p", {}, "A device appears here when a listener of your application knows whose its messages are; say so with ", element("code", {}, "identify="), ":");
    byId("device-empty-body").replaceChildren(...(total === 0 ? [how, command(EXAMPLE)] : []));
  }

  #complain(reason) {
    byId("device-error").hidden = reason === "";
    setText(byId("device-error"), reason);
  }
}

/** What the page's own address says. */
function wanted(hash) {
  if (hash === "#devices") return { isDevices: true, id: null };
  const match = /^#devices\/(.+)$/.exec(hash);
  if (match === null) return { isDevices: false, id: null };
  try {
    return { isDevices: true, id: decodeURIComponent(match[1]) };
  } catch {
    return { isDevices: true, id: null };
  }
}
