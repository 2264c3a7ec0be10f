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
OWNER_KEY = "portcast.transport_owner"


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
                scope["extensions"] = {
                    **(scope.get("extensions") or {}),
                    KEY: transport,
                    OWNER_KEY: send.__self__,  # type: ignore[attr-defined]  # it has a transport, so it is there
                }
        await self.app(scope, receive, send)


def transport_of(scope: Scope) -> asyncio.WriteTransport | None:
    """Return the transport that the probe found, if any."""
    transport: asyncio.WriteTransport | None = (scope.get("extensions") or {}).get(KEY)
    return transport


def buffered_in(transport: asyncio.WriteTransport) -> int:
    """Return how many bytes wait in a transport; 0 if it does not know any more.

    Over TLS this is what waits to be encrypted; up to 64 KiB more may wait in the transport below.
    """
    try:
        return transport.get_write_buffer_size()
    except AttributeError:
        # asyncio's TLS transport (3.11) forgets its connection when it is closed twice, which uvicorn does.
        return 0


def _can_be_aborted(transport: object) -> bool:
    # By its methods: uvloop's transports do not inherit from asyncio's.
    return all(hasattr(transport, name) for name in ("abort", "is_closing", "get_write_buffer_size"))


def put_probe(app: Any) -> Callable[[], None]:
    """Put the transport probe outermost in a running Starlette app; return what takes it off again."""
    stack = getattr(app, "middleware_stack", None)
    if stack is None:
        return lambda: None
    app.middleware_stack = TransportProbe(stack)

    def take_off() -> None:
        app.middleware_stack = stack

    return take_off
