"""Which pages may use the WebSockets and the publishing API.

A browser sends ``Origin`` with every WebSocket handshake and every POST; without a check any page that a user of this
machine visits could read the devices' data from localhost (cross-site WebSocket hijacking). Programs that are not
browsers send none and are not affected. A page whose name was made to point here has the server's own origin:
`portcast.web.hosts` is for those.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import HTTPConnection


def is_allowed_origin(http: HTTPConnection, allowed: Sequence[str]) -> bool:
    """Return True if there is no ``Origin``, it is the server's own, or it is listed.

    Where the request came by TLS, a page that came without is a foreign one (RFC 6454 §5): ``http://gate.example`` may
    be another service on port 80, or somebody on the path. A page that came by TLS may ask a server that speaks none:
    a proxy in front ends it, and need not say so.

    Args:
        http: the request or the handshake of a WebSocket.
        allowed: ``scheme://host[:port]``, compared without case.
    """
    origin = http.headers.get("origin")
    if origin is None:
        return True
    origin = origin.lower()
    if origin in {one.lower() for one in allowed}:
        return True
    # "null" (a sandboxed page or a file) is nobody's own origin.
    scheme, found, host = origin.partition("://")
    is_own_scheme = scheme == "https" or (scheme == "http" and http.scope.get("scheme") not in ("https", "wss"))
    return bool(found) and is_own_scheme and host == http.headers.get("host", "").lower()
