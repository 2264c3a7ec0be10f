"""Which pages may use the WebSockets and the publishing API.

A browser sends ``Origin`` with every WebSocket handshake and every POST; without a check any page that a user of this
machine visits could read the devices' data from localhost (cross-site WebSocket hijacking). Programs that are not
browsers send none and are not affected. A page whose name was made to point here has the server's own origin:
`portcast.web.hosts` is for those.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers


def is_allowed_origin(headers: Headers, allowed: Sequence[str]) -> bool:
    """Return True if there is no ``Origin``, it is the server's own, or it is listed.

    Args:
        headers: of the request.
        allowed: ``scheme://host[:port]``, compared without case.
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    origin = origin.lower()
    if origin in {one.lower() for one in allowed}:
        return True
    # "null" (a sandboxed page or a file) is nobody's own origin.
    _, found, host = origin.partition("://")
    return bool(found) and host == headers.get("host", "").lower()
