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
        # Over HTTP/2 the transport belongs to other streams too, and must not be aborted for one of them.
        if scope["type"] in ("websocket", "http") and scope.get("http_version", "1.1").startswith("1."):
            transport = getattr(getattr(send, "__self__", None), "transport", None)
            if _can_be_aborted(transport):
                # A dict of our own: the server may share its between connections, and the specification allows None.
                scope["extensions"] = {**(scope.get("extensions") or {}), KEY: transport}
        await self.app(scope, receive, send)


def transport_of(scope: Scope) -> asyncio.WriteTransport | None:
    """Return the transport that the probe found, if any."""
    transport: asyncio.WriteTransport | None = (scope.get("extensions") or {}).get(KEY)
    return transport


def _can_be_aborted(transport: object) -> bool:
    # By its methods: uvloop's transports do not inherit from asyncio's.
    return all(hasattr(transport, name) for name in ("abort", "is_closing", "get_write_buffer_size"))
