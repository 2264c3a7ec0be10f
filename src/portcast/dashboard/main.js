// Wires the page: address bar <-> filter <-> stream -> table -> counts.

import { Devices } from "./devices.js";
import { byId, setText } from "./dom.js";
import * as format from "./format.js";
import { Listeners } from "./listeners.js";
import { Login } from "./login.js";
import { Stream } from "./stream.js";
import { PublicationTable } from "./table.js";
import { connectThemeSwitch } from "./theme.js";
import { welcome } from "./welcome.js";

const ALL = "#";
/** What a new connection replays comes within this time: it is no rate, and until then the table is not empty. */
const SETTLE_MS = 300;
/** The module's own address tells where the gateway is mounted: /static/main.js or /portcast/static/main.js. */
const base = new URL("../", import.meta.url);

const table = new PublicationTable(byId("rows"), tableChanged);
let listeners = [];
let filter = filterIn(location.href) || ALL;
let stream = null;

// --- connection state ---------------------------------------------------------------------------------------------

function stateChanged(state, { reason, isSlow }) {
  const words = { connecting: "connecting", live: "live", waiting: "reconnecting", refused: "stopped" };
  byId("status").dataset.state = state;
  byId("status").title = reason;
  setText(byId("status-text"), words[state]);
  setText(byId("status-reason"), state === "waiting" && reason ? `(${reason})` : "");
  byId("retry").hidden = state !== "waiting";
  setText(byId("announce"), reason ? `${words[state]}: ${reason}` : words[state]);
  if (state === "live") {
    meter.restart();
    setTimeout(showEmptyState, SETTLE_MS); // once the history had its chance to arrive
  }
  if (isSlow) table.note(`disconnected: ${reason}`);
  showFilterError(state === "refused" ? reason : "");
  if (state === "refused") login.offer();
  if (state === "live") login.settled();
}

byId("retry").addEventListener("click", () => stream.retry());

// --- topic filter -------------------------------------------------------------------------------------------------

function showFilterError(reason) {
  byId("filter-error").hidden = reason === "";
  setText(byId("filter-error"), reason);
  byId("filter").setAttribute("aria-invalid", String(reason !== ""));
}

function subscribe() {
  stream?.close();
  byId("filter").value = filter;
  byId("filter-reset").hidden = filter === ALL;
  const sockets = base.protocol === "https:" ? "wss:" : "ws:";
  const mounted = `${sockets}//${base.host}${base.pathname}`;
  byId("hint-sdk").replaceChildren(mounted, document.createElement("wbr"), "connection/websocket");
  byId("hint-ws").textContent = codeAddress("ws", sockets);
  byId("hint-events").textContent = codeAddress("events", base.protocol);
  stream = new Stream({
    base,
    filter,
    onMessage: (envelope) => table.receive(envelope),
    onGap: (gap) => table.gap(gap),
    onState: stateChanged,
    since: () => table.lastId(),
  });
}

/** Where a program gets what the table shows. */
function codeAddress(kind, protocol) {
  const levels = filter.split("/").map(encodeURIComponent).join("/");
  return `${protocol}//${base.host}${base.pathname}${kind}/${levels}`;
}

/** The filter in the page's own address, where a `+` is a `+` as it is to the gateway. */
function filterIn(address) {
  return new URL(address.replaceAll("+", "%2B")).searchParams.get("filter");
}

function useFilter(wanted) {
  const next = wanted.trim() || ALL;
  if (next === filter && stream.state !== "refused") {
    byId("filter").value = filter;
    return;
  }
  filter = next;
  const url = new URL(location.href);
  url.searchParams.delete("filter");
  if (filter !== ALL) {
    // By hand, because URLSearchParams writes a space as `+`.
    const rest = url.search.slice(1).replaceAll("+", "%20");
    url.search = [rest, `filter=${encodeURIComponent(filter)}`].filter(Boolean).join("&");
  }
  history.replaceState(null, "", url);
  table.reset();
  subscribe();
}

byId("filter-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useFilter(byId("filter").value);
});
byId("filter").addEventListener("change", () => useFilter(byId("filter").value));
byId("filter-reset").addEventListener("click", () => {
  useFilter(ALL);
  byId("filter").focus();
});
byId("rows").addEventListener("topic", (event) => useFilter(event.detail));

// --- table --------------------------------------------------------------------------------------------------------

function tableChanged() {
  const { rows, received, matching, isPaused, passedSincePause } = table;
  const isSearching = byId("search").value !== "";
  const parts = [];
  if (isSearching && rows > 0) parts.push(`${format.count(matching)} of ${format.count(rows)} rows match`);
  if (received > 0) parts.push(isSearching ? `${format.count(received)} received` : `Showing ${format.count(rows)} of ${format.count(received)}`);
  if (isPaused) parts.push(`paused, ${format.count(passedSincePause)} passed since`);
  setText(byId("count"), parts.join(" · "));
  setText(byId("pause-label"), isPaused ? `Resume (${format.shortCount(passedSincePause)})` : "Pause");
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  showEmptyState();
}

let emptyStateKey = "";

function showEmptyState() {
  const isEmpty = table.isEmpty && stream.state === "live" && performance.now() > meter.startsAt;
  byId("empty").hidden = !isEmpty;
  if (!isEmpty) return;
  // Made anew only if it would say something else: it holds a button that may have the focus.
  const key = JSON.stringify([filter, listeners.map(({ address, framing, state }) => [address, framing, state])]);
  if (key === emptyStateKey) return;
  emptyStateKey = key;
  const { title, body } = welcome(listeners, filter);
  setText(byId("empty-title"), title);
  byId("empty-body").replaceChildren(...body);
}

byId("pause").addEventListener("click", () => (table.isPaused ? table.resume() : table.pause()));
byId("clear").addEventListener("click", () => table.clear());
byId("search").addEventListener("input", () => table.search(byId("search").value));

// --- rate ---------------------------------------------------------------------------------------------------------

/** Publications per second over the last two seconds. */
const meter = {
  samples: [],
  startsAt: 0,
  restart() {
    this.samples = [];
    this.startsAt = performance.now() + SETTLE_MS - 1;
  },
  tick() {
    if (performance.now() < this.startsAt) return;
    const now = performance.now() / 1000;
    const last = this.samples.at(-1);
    if (last !== undefined && table.received < last.received) this.samples = []; // cleared
    this.samples.push({ now, received: table.received });
    if (this.samples.length > 5) this.samples.shift();
    const first = this.samples[0];
    const seconds = now - first.now;
    setText(byId("rate"), format.rate(seconds > 0 ? (table.received - first.received) / seconds : 0));
  },
};
setInterval(() => meter.tick(), 500);

// --- start --------------------------------------------------------------------------------------------------------

const login = new Login({
  base,
  parts: { form: byId("login"), key: byId("login-key"), error: byId("login-error"), logout: byId("logout") },
  onLogin: () => {
    subscribe();
    cards.refresh();
    devices.reopen();
  },
});
connectThemeSwitch(byId("theme"));
subscribe();
const devices = new Devices({ base, onTopic: useFilter });
const cards = new Listeners({
  base,
  list: byId("listeners"),
  notice: byId("listeners-notice"),
  onUpdate: (answer) => {
    listeners = answer.listeners ?? [];
    devices.showTotal(answer.devices ?? 0);
    const subscribers = answer.subscribers ?? 0;
    setText(byId("about"), `${answer.version ?? ""} · ${format.count(subscribers)} ${subscribers === 1 ? "subscriber" : "subscribers"}`);
    showEmptyState();
  },
});
