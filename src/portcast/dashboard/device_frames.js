// One recorded frame as a row of the table: what is shown of it, and in which words.

import { element } from "./dom.js";
import * as format from "./format.js";
import { timeCell } from "./table.js";

const MAX_ROWS = 200;
const PREVIEW_BYTES = 64;
const PREVIEW_CHARACTERS = 200;
/** A frame may be a megabyte where the recorder's options say so; two hundred of them should not stay in a browser. */
const KEPT_BYTES = 4096;

/** How a `PublicationTable` shows frames: a line of bytes, a line of text, a line that says what was wrong; open, a dump. */
export const FRAMES = { maxRows: MAX_ROWS, read: toRecord, heads };

const KINDS = {
  in: { word: "in", sign: "←" },
  out: { word: "out", sign: "→" },
  refused: { word: "refused", sign: "!" },
};

function toRecord(frame) {
  const { at, kind, size, hex, text, detail, is_redacted: isRedacted } = frame;
  const isFrame = kind in KINDS;
  const bytes = format.fromHex(hex.slice(0, 2 * KEPT_BYTES));
  const isHidden = isFrame && hex === "" && size > 0;
  const lines = [];
  if (bytes.length > 0) {
    const isMore = size > PREVIEW_BYTES;
    lines.push(format.hex(bytes, PREVIEW_BYTES) + (isMore ? " …" : ""));
    lines.push(format.visible(text.slice(0, PREVIEW_CHARACTERS)) + (text.length > PREVIEW_CHARACTERS || frame.is_truncated ? " …" : ""));
  }
  if (isHidden) lines.push("Redaction hides it: only its size is kept.");
  if (detail !== "") lines.push(format.visible(detail));
  return {
    at,
    kind,
    className: `frame-${kind}`,
    // What opens is a dump of the bytes, or the sentence that stands in their place.
    bytes: bytes.length > 0 ? bytes : null,
    text: lines.join("\n"),
    topic: kind,
    preview: lines.join("\n"),
    badge: isRedacted && !isHidden ? "redacted" : "",
    isLong: bytes.length > 16,
    isCut: bytes.length > 0 && bytes.length < size,
    size: isFrame ? format.bytes(size) : "",
  };
}

function heads(record) {
  const { word, sign } = KINDS[record.kind] ?? { word: record.kind, sign: "–" };
  return [
    timeCell(record.at),
    element("td", { className: "frame-kind", attributes: { role: "cell" } }, element("span", { attributes: { "aria-hidden": "true" } }, sign), ` ${word}`),
    element("td", { className: "offset", attributes: { role: "cell" } }, record.size),
  ];
}
