"""Finds the transport under an ASGI connection, so that a client that never reads can be aborted.

ASGI has no abort: a close waits for the peer to take what was sent before. Under uvicorn the outermost ``send`` is a
bound method of the object that owns the transport (measured with 0.54, both WebSocket implementations and both HTTP
ones). Elsewhere there is none, and ending the endpoint must do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEY = "portcast.transport"


class TransportProbe:
    """A pure ASGI middleware, put outermost: notes the transport in ``scope["extensions"]``."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on."""
        if scope["type"] in ("websocket", "http"):
            transport = getattr(getattr(send, "__self__", None), "transport", None)
            if isinstance(transport, asyncio.BaseTransport) or hasattr(transport, "abort"):
                scope.setdefault("extensions", {})[KEY] = transport
        await self.app(scope, receive, send)


def transport_of(scope: Scope) -> asyncio.WriteTransport | None:
    """Return the transport that the probe found, if any."""
    transport = (scope.get("extensions") or {}).get(KEY)
    return transport if transport is not None and hasattr(transport, "abort") else None
