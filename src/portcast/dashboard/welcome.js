// What an empty table says: the one line to type that makes something appear.

import { element } from "./dom.js";

/** Host and port to connect to from this machine, or null for an address that is not TCP. */
function endpoint(address) {
  const match = /^tcp:\/\/(\[[^\]]*\]|[^:]*):(\d+)$/.exec(address);
  if (match === null) return null;
  const host = match[1].replace(/^\[|\]$/g, "");
  const isAny = host === "" || host === "0.0.0.0" || host === "::";
  return { host: isAny ? location.hostname.replace(/^\[|\]$/g, "") : host, port: match[2] };
}

/** The command that sends `hello` as one line to a listener. */
export function helloCommand(address) {
  const to = endpoint(address);
  if (to !== null) return `printf 'hello\\n' | nc -q1 ${to.host} ${to.port}`;
  return `printf 'hello\\n' | nc -q1 -U ${address.replace(/^unix:\/\//, "")}`;
}

/** The command that plays a fleet of devices into a listener; it needs no address for the usual one. */
export function simulateCommand(address) {
  const to = endpoint(address);
  if (to === null) return `portcast simulate ${address}`;
  if (to.host === "127.0.0.1" && to.port === "8001") return "portcast simulate";
  return `portcast simulate ${to.host.includes(":") ? `[${to.host}]` : to.host}:${to.port}`;
}

/** A line to type, with a button that copies it. */
export function command(text) {
  const copy = element("button", { attributes: { type: "button" } }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select it"; // the clipboard needs https or localhost
    }
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  });
  return element("p", { className: "command" }, element("code", {}, text), copy);
}

/**
 * Return the title and the elements for an empty table.
 *
 * @param {object[]} listeners as in api/listeners
 * @param {string} filter
 */
export function welcome(listeners, filter) {
  const open = listeners.filter((listener) => listener.state === "accepting");
  const lines = open.find((listener) => /^lines?\b/i.test(listener.framing ?? ""));
  const isAll = filter === "#";
  const title = isAll ? "Waiting for the first line" : "Nothing on this topic yet";
  const body = [];
  if (!isAll) {
    body.push(element("p", {}, "No publication matches ", element("code", {}, filter), " so far. New ones appear here at once."));
  }
  if (lines !== undefined) {
    body.push(element("p", {}, isAll ? "Type this in a terminal:" : "To send a line yourself:"), command(helloCommand(lines.address)));
    if (isAll) body.push(element("p", {}, "Or let a small fleet of pretended devices talk:"), command(simulateCommand(lines.address)));
  } else if (open.length > 0) {
    body.push(element("p", {}, "Connect a device to ", element("code", {}, open[0].address), ` (${open[0].framing}).`));
  } else {
    body.push(element("p", {}, "No listener is accepting connections."));
  }
  return { title, body };
}
