"""``WS /ws`` and ``WS /ws/{filter}``: one message per publication, for any WebSocket client.

Close codes: 1012 the server restarts, 1013 it is not ready, 3008 too slow (with the reason), 4400 the filter or a
parameter is not valid (with the rule). A page of a foreign origin is refused with 403 before the handshake.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, QueryParams

from portcast.config import HttpOptions
from portcast.errors import TopicError
from portcast.web.asgi_sink import AsgiSink
from portcast.web.encodings import ClientEncoding, WebSocketPlain
from portcast.web.origin import is_allowed_origin
from portcast.web.peer import peer_of
from portcast.web.resume import Encodings
from portcast.web.subscribe import NodeOf, read_wish, serve
from portcast.web.transports import Receive, Scope, Send, transport_of

CLOSE_TRY_AGAIN = 1013
"""RFC 6455 registry, "try again later"."""
CLOSE_BAD_REQUEST = 4400
"""Ours: do not come back with the same request."""


def _farewell(code: int, reason: str) -> MutableMapping[str, Any]:
    # RFC 6455 §5.5: a control frame holds 125 bytes, two of them the code.
    return {"type": "websocket.close", "code": code, "reason": reason.encode()[:120].decode(errors="ignore")}


class WebSocketEndpoint:
    """The ASGI application behind both paths."""

    def __init__(self, node: NodeOf, encodings: Encodings, options: HttpOptions) -> None:
        self._node = node
        self._encodings = encodings
        self._options = options
        self._plain = WebSocketPlain()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one client."""
        await receive()  # websocket.connect
        if not is_allowed_origin(Headers(scope=scope), self._options.allowed_origins):
            await send({"type": "websocket.close", "code": 1008, "reason": "origin not allowed"})
            return
        await send({"type": "websocket.accept"})
        try:
            wish = read_wish(scope.get("path_params", {}).get("filter"), QueryParams(scope["query_string"]))
        except (TopicError, ValueError) as error:
            await send(_farewell(CLOSE_BAD_REQUEST, str(error)))
            return
        node = self._node()
        if node.state != "ready":
            await send(_farewell(CLOSE_TRY_AGAIN, "the server is stopping"))
            return
        encoding: ClientEncoding = self._encodings.websocket_json(wish.filters) if wish.is_json else self._plain
        sink = AsgiSink(send, transport=transport_of(scope), farewell=_farewell)
        await serve(node, wish, encoding, sink, receive, transport="websocket", peer=peer_of(scope))
