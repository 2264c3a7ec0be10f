"""Tells a browser from a device.

Any web page can make a browser send a cross-site POST with a body of its choice to a port of this machine, without
asking (a form, or ``fetch`` with ``no-cors``): to a listener its lines would be messages like any other. No page can
keep the browser from beginning with a request line, so a connection that begins so is refused before anything is
published.

Looked at are the first bytes, whatever the framing, since a framing that skips what it does not know would find the
body; and the first frame, in case the request line came in pieces. Nothing is looked at after that.
"""

from __future__ import annotations

import re

REFUSAL = (
    "an HTTP request, which any web page can make a browser send, and not a device; "
    "HTTP has a port of its own, and the listener option allow_http=true takes requests as data"
)

# RFC 9112 §3, as a line or as a frame that lost its line break; or with a target so long that the line's end has yet to
# come, which a page could choose on purpose.
_REQUEST_LINE = re.compile(
    rb"(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT|TRACE) (?:\S+ HTTP/1\.[01]\r?(?:\n|\Z)|/\S{4000,}\Z)"
)


def is_http_request(data: bytes) -> bool:
    """Return True if the first bytes or the first frame of a connection begin with an HTTP/1 request line."""
    return _REQUEST_LINE.match(data) is not None
