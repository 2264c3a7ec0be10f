"""``WS /connection/websocket``: the Centrifuge client protocol for SDKs, through any of the three sinks.

JSON or Protobuf by subprotocol or query (`portcast.centrifuge.format`). Close codes are those of
`portcast.centrifuge.codes`; 1013 before the node is ready or with too many subscribers, 3506 for Protobuf where it is
not installed, 1009 for a message that is too big; a page of a foreign origin is refused with 403 before the handshake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from portcast.centrifuge import codes
from portcast.centrifuge.format import choose_format, wants_native_ping
from portcast.centrifuge.options import SessionOptions
from portcast.config import HttpOptions
from portcast.errors import MissingDependencyError
from portcast.runtime import CLOSE_TRY_AGAIN
from portcast.web.asgi_sink import AsgiSink
from portcast.web.origin import is_allowed_origin
from portcast.web.peer import peer_of
from portcast.web.sdk_client import SdkClient
from portcast.web.sdk_node import SdkNode
from portcast.web.sdk_wire import Form, wire
from portcast.web.transport_sink import TransportSink, stock_protocol_of
from portcast.web.transports import Scope, transport_of
from portcast.web.websocket import farewell
from portcast.web.websocket_asgi import EXTENSION
from portcast.web.websocket_protocol import WebSocketProtocol

SdkNodeOf = Callable[[], SdkNode | None]
"""Returns the running node's SDK side if it takes new clients."""


class SdkWebSocketEndpoint:
    """What answers on the path."""

    def __init__(self, node: SdkNodeOf, session: SessionOptions, http: HttpOptions) -> None:
        self._node = node
        self._session = session
        self._native_ping = replace(session, ping_s=0)
        self._http = http

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one client."""
        await websocket.receive()  # websocket.connect
        if not is_allowed_origin(websocket, self._http.allowed_origins):
            await websocket.send({"type": "websocket.close", "code": 1008, "reason": "origin not allowed"})
            return
        choice = choose_format(websocket.scope.get("subprotocols", ()), websocket.query_params)
        await websocket.send({"type": "websocket.accept", "subprotocol": choice.subprotocol})
        node = self._node()
        if node is None:
            await websocket.send(farewell(CLOSE_TRY_AGAIN, "the server is not ready"))
            return
        try:
            wire(choice.format, "frames")
        except MissingDependencyError:
            code, reason = codes.INAPPROPRIATE_PROTOCOL.code, "protobuf is not installed on this server"
            await websocket.send(farewell(code, reason))
            return
        options = self._native_ping if wants_native_ping(websocket.query_params) else self._session
        scope = websocket.scope
        http = _request_of(scope)
        connection: WebSocketProtocol | None = (scope.get("extensions") or {}).get(EXTENSION)
        if connection is not None:
            form: Form = "deflated" if connection.is_deflated else "frames"
            client = node.accept(
                connection,
                wire(choice.format, form),
                http,
                bind=connection.bind,
                options=options,
                peer=peer_of(scope),
                reader=connection,
            )
            # From here on neither this task nor the scope is needed; what came in meanwhile is handed over.
            connection.detach(client.on_message)
            return
        stock = stock_protocol_of(scope)
        sink = (
            AsgiSink(websocket.send, transport=transport_of(scope), farewell=farewell)
            if stock is None
            else TransportSink(websocket.send, stock, farewell=farewell)
        )
        client = node.accept(
            sink,
            wire(choice.format, "messages" if stock is None else "frames"),
            http,
            bind=sink.bind,
            options=options,
            peer=peer_of(scope),
            reader=sink,
        )
        await run_client(client, sink, websocket)


async def run_client(client: SdkClient, sink: AsgiSink, websocket: WebSocket) -> None:
    """Read and write until the client is gone."""
    reason = "aborted"
    try:
        reason = await sink.run(websocket.receive, client.on_message)
    finally:
        client.subscriber.ended(reason)


def _request_of(scope: Scope) -> HTTPConnection:
    """Return what the app's functions see of the request, without the parts that keep connection and call alive."""
    kept = {key: value for key, value in scope.items() if key != "extensions" and not key.startswith("fastapi_")}
    return HTTPConnection(kept)
