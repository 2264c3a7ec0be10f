"""Tells browsers, and clients that speak TLS to a plain port, from devices.

Any web page can make a browser send a cross-site POST with a body of its choice to a port of this machine, without
asking (a form, or ``fetch`` with ``no-cors``): to a listener its lines would be messages like any other. No page can
keep the browser from beginning with a request line, so a connection that begins so is refused before anything is
published.

Looked at are the first bytes, whatever the framing, since a framing that skips what it does not know would find the
body; and the first frame, in case the request line came in pieces. Nothing is looked at after that.

A TLS client harms nobody, but its hello can hold line feeds, and then there are messages of noise; and who has set up a
device wrongly should find the reason in the log.
"""

from __future__ import annotations

import re

HTTP_REFUSAL = (
    "an HTTP request, which any web page can make a browser send, and not a device; "
    "HTTP has a port of its own, and the listener option allow_http=true takes requests as data"
)

# RFC 9112 §3, as a line or as a frame that lost its line break; or with a target so long that the line's end has yet to
# come, which a page could choose on purpose.
_REQUEST_LINE = re.compile(
    rb"(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT|TRACE) (?:\S+ HTTP/1\.[01]\r?(?:\n|\Z)|/\S{4000,}\Z)"
)

TLS_REFUSAL = (
    "a TLS hello on a listener that speaks plainly: tls://HOST:PORT?cert=FILE&cert_key=FILE makes it speak TLS, or "
    "let the device connect without"
)
# A record of a handshake (RFC 8446 §5.1) that holds a client hello of less than 64 KiB (§4).
_HELLO = re.compile(rb"\x16\x03[\x00-\x04]..\x01\x00", re.DOTALL)


def is_tls_hello(data: bytes) -> bool:
    """Return True if the first bytes of a connection are those of a TLS client."""
    return _HELLO.match(data) is not None


def is_http_request(data: bytes) -> bool:
    """Return True if the first bytes or the first frame of a connection begin with an HTTP/1 request line."""
    return _REQUEST_LINE.match(data) is not None
