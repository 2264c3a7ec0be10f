// Values as text. Pure functions, no DOM.

const groups = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12034 -> "12,034" */
export function count(value) {
  return groups.format(value);
}

/** Like count() up to 99,999; above that "1.2M", so that it fits a narrow column. */
export function shortCount(value) {
  return value < 100_000 ? groups.format(value) : short.format(value);
}

/** 0.4 -> "0.4", 12.6 -> "13": one decimal only where it says something. */
export function rate(value) {
  return value > 0 && value < 9.95 && Math.round(value * 10) % 10 !== 0 ? value.toFixed(1) : shortCount(Math.round(value));
}

/** 4096 -> "4.0 KiB" */
export function bytes(value) {
  let unit = 0;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

const two = (n) => String(n).padStart(2, "0");

/** Seconds since 1970 -> local "14:03:09.123" */
export function clock(seconds) {
  const at = new Date(seconds * 1000);
  const milliseconds = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${milliseconds}`;
}

/** Seconds since 1970 -> ISO 8601 in UTC, or "" for what is not a time. */
export function isoTime(seconds) {
  const at = new Date(seconds * 1000);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}

/** Local "14:03:09", after the date "2026-01-31" if that is another day. */
export function moment(seconds) {
  const at = new Date(seconds * 1000);
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} `;
  return day + clock(seconds).slice(0, 8);
}

/** The bytes behind base64 text; no bytes if it is not base64. */
export function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

/** The bytes behind hexadecimal text, two digits each; what is no number is 0. */
export function fromHex(text) {
  return Uint8Array.from({ length: text.length >> 1 }, (_, at) => Number.parseInt(text.slice(2 * at, 2 * at + 2), 16));
}

const hexByte = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, "0"));

/** The first `limit` bytes as "48 65 6c". */
export function hex(data, limit = data.length) {
  return Array.from(data.subarray(0, limit), (value) => hexByte[value]).join(" ");
}

/** A dump of 8 bytes a line, so that it fits a phone: offset, hexadecimal, printable ASCII. */
export function hexDump(data) {
  const lines = [];
  for (let at = 0; at < data.length; at += 8) {
    const part = data.subarray(at, at + 8);
    const ascii = Array.from(part, (value) => (value >= 0x20 && value < 0x7f ? String.fromCharCode(value) : "·")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex(part).padEnd(23)}  ${ascii}`);
  }
  return lines.join("\n");
}

const NAMES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/**
 * Control characters as `\r` and `\x1b`, as `portcast tail` and the log write them: a stray one is what someone debugging a
 * device looks for, and their pictures (␛) cannot be read at this size.
 */
export function visible(text, keepLines = false) {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    if (keepLines && (character === "\n" || character === "\t")) return character;
    return NAMES[character] ?? `\\x${hexByte[character.charCodeAt(0)]}`;
  });
}

/** Seconds in words: "now", "8 s ago", "5 min ago", "3 h ago", "12 d ago". */
export function ago(seconds) {
  if (seconds < 1.5) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
