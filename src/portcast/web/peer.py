"""Who is at the other end of an ASGI connection."""

from __future__ import annotations

from portcast.web.transports import Scope


def peer_of(scope: Scope) -> str:
    """Return the client's address as ``host:port``, as the ASGI server gives it; empty if it gives none."""
    client = scope.get("client")
    if not client:
        return ""
    host, port = client
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
