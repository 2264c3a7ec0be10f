"""``WS /ws`` and ``WS /ws/{filter}``: one message per publication, for any WebSocket client.

Close codes: 1008 it sends too much, 1012 the server restarts, 1013 it is not ready or has too
many subscribers, 3008 too slow (with the reason), 4400 the filter or a
parameter is not valid (with the rule), 4401 a valid key or token is missing or has expired, 4403 what the client has
shown is not enough. A page of a foreign origin is refused with 403 before the handshake.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from fastapi import HTTPException
from starlette.websockets import WebSocket

from portcast.config import HttpOptions
from portcast.errors import TopicError
from portcast.runtime import CLOSE_TRY_AGAIN, Node, Subscriber
from portcast.runtime.rates import Throttle
from portcast.web.asgi_sink import AsgiSink
from portcast.web.credentials import answered_subprotocol
from portcast.web.hosts import CLOSE_POLICY
from portcast.web.http_access import HttpAccess, left_s
from portcast.web.origin import is_allowed_origin
from portcast.web.peer import peer_of
from portcast.web.query import query_of
from portcast.web.resume import Encodings, Form
from portcast.web.subscribe import NodeOf, Wish, read_wish, ready_node, serve, subscribe
from portcast.web.transport_sink import TransportSink, stock_protocol_of
from portcast.web.transports import transport_of
from portcast.web.websocket_asgi import EXTENSION
from portcast.web.websocket_protocol import WebSocketProtocol

CLOSE_BAD_REQUEST = 4400
"""Ours: do not come back with the same request."""
CLOSE_HTTP = 4000
"""Ours: added to the status with which HTTP would be answered."""
MAX_REASON_BYTES = 123
"""RFC 6455 §5.5: a control frame holds 125 bytes, two of them the code."""


def farewell(code: int, reason: str) -> MutableMapping[str, Any]:
    """Return the last message, with a reason that fits."""
    cut = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return {"type": "websocket.close", "code": code, "reason": cut}


def _rule(error: ValueError) -> str:
    """Return the error in words that fit: of a long topic the rule that it breaks, and not its beginning."""
    if isinstance(error, TopicError) and len(str(error).encode()) > MAX_REASON_BYTES:
        return f"topic: {error.problem}"
    return str(error)


class Chatter:
    """What a client of these paths sends: nobody reads it, and too much of it ends the connection."""

    __slots__ = ("_now", "_rates", "_throttle", "subscriber")

    subscriber: Subscriber

    def __init__(self, rates: tuple[float, float], now: Callable[[], float]) -> None:
        self._rates = rates
        self._now = now
        # Most clients never send anything.
        self._throttle: Throttle | None = None

    def __call__(self, message: str | bytes) -> None:
        """Count a message."""
        now = self._now()
        if self._throttle is None:
            self._throttle = Throttle(*self._rates, now)
        if self._throttle.charge(1, len(message), now):
            self.subscriber.close(CLOSE_POLICY, "too many messages")


class WebSocketEndpoint:
    """What answers on both paths."""

    def __init__(self, node: NodeOf, encodings: Encodings, access: HttpAccess, options: HttpOptions) -> None:
        self._node = node
        self._encodings = encodings
        self._access = access
        self._options = options

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one client.

        A FastAPI endpoint, so that the dependencies of the router apply to it as to the HTTP routes: who is refused
        there must not come in here.
        """
        await websocket.receive()  # websocket.connect
        if not is_allowed_origin(websocket, self._options.allowed_origins):
            await websocket.send({"type": "websocket.close", "code": 1008, "reason": "origin not allowed"})
            return
        await websocket.send({"type": "websocket.accept", **answered_subprotocol(websocket)})
        try:
            wish = read_wish(websocket.path_params.get("filter"), query_of(websocket.scope))
        except ValueError as error:  # TopicError is one
            await websocket.send(farewell(CLOSE_BAD_REQUEST, _rule(error)))
            return
        node = ready_node(self._node)
        if node is None:
            await websocket.send(farewell(CLOSE_TRY_AGAIN, "the server is not ready"))
            return
        try:
            caller = await self._access.may_follow(websocket, wish.filters, replays=wish.replays)
        except HTTPException as error:
            code = CLOSE_TRY_AGAIN if error.status_code == 503 else CLOSE_HTTP + error.status_code
            await websocket.send(farewell(code, str(error.detail)))
            return
        await self._subscribe(node, wish, websocket, left_s(caller))

    async def _subscribe(self, node: Node, wish: Wish, websocket: WebSocket, left_s: float | None) -> None:
        """Subscribe through the fastest sink that the server offers (see `portcast.web.transport_sink`)."""
        scope = websocket.scope
        peer = peer_of(scope)
        chatter = Chatter(self._options.rates, node.now) if self._options.rates is not None else None
        connection: WebSocketProtocol | None = (scope.get("extensions") or {}).get(EXTENSION)
        if connection is not None:
            form: Form = "deflated" if connection.is_deflated else "frames"
            encoding = self._encodings.websocket(wish.filters, form, is_json=wish.is_json)
            subscriber = subscribe(
                node, wish, encoding, connection, connection.bind, transport="websocket", peer=peer, left_s=left_s
            )
            if chatter is not None:
                chatter.subscriber = subscriber
            # From here on neither this task nor the scope is needed.
            connection.detach(chatter)
            return
        stock = stock_protocol_of(scope)
        form = "messages" if stock is None else "frames"
        transport = transport_of(scope)
        sink = (
            AsgiSink(websocket.send, transport=transport, farewell=farewell)
            if stock is None
            else TransportSink(websocket.send, stock, farewell=farewell)
        )
        encoding = self._encodings.websocket(wish.filters, form, is_json=wish.is_json)
        await serve(
            node,
            wish,
            encoding,
            sink,
            websocket.receive,
            transport="websocket",
            peer=peer,
            left_s=left_s,
            chatter=chatter,
        )
