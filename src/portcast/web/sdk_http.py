"""The Centrifuge protocol where WebSockets do not get through: a response that lasts, and requests beside it.

``POST /connection/http_stream``   the body holds the first commands (one of them is ``connect``); the response is a
                                   stream of replies, JSON with line ends or Protobuf with lengths
``GET /connection/sse``            the same for `EventSource`: commands in ``?cf_connect=``, JSON only
``POST /emulation``                later commands: ``{"session", "node", "data"}``, with what the connect reply said

A session is named by a secret that only its client knows. What ends the connection is told by a disconnect push,
because such a stream has no close code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.requests import HTTPConnection

from portcast.centrifuge.codes import Disconnect
from portcast.centrifuge.format import Format
from portcast.centrifuge.messages import DisconnectPush, Push, Reply
from portcast.config import HttpOptions
from portcast.web.asgi_sink import AsgiSink
from portcast.web.body import read_body
from portcast.web.origin import is_allowed_origin
from portcast.web.peer import peer_of
from portcast.web.sdk_node import SdkNode
from portcast.web.sdk_wire import Wire, wire
from portcast.web.transports import Receive, Scope, Send, transport_of

PROTOBUF = "application/octet-stream"
"""The content type of Protobuf bodies, in both directions."""
_JSON = "application/json"

SdkNodeOf = Callable[[], SdkNode | None]


class SdkStream(Response):
    """A response that lasts until the client leaves or the session ends."""

    def __init__(self, node: SdkNode, wire_: Wire, commands: str | bytes, media_type: str) -> None:
        super().__init__(
            headers={
                "cache-control": "no-store",
                # nginx would collect the stream in a buffer otherwise.
                "x-accel-buffering": "no",
                "x-content-type-options": "nosniff",
            },
            media_type=media_type,
        )
        self._node = node
        self._wire = wire_
        self._commands = commands

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        headers = [(k, v) for k, v in self.raw_headers if k != b"content-length"]
        if scope.get("http_version", "1.1").startswith("1."):
            # A client that does not read is aborted after its stream's end: no other request may be on its connection.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        sink = AsgiSink(send, transport=transport_of(scope), farewell=self._farewell)
        kept = {key: value for key, value in scope.items() if key != "extensions"}
        client = self._node.accept(sink, self._wire, HTTPConnection(kept), bind=sink.bind, peer=peer_of(scope))
        client.has_session = True
        client.on_message(self._commands)
        reason = "aborted"
        try:
            reason = await sink.run(receive)
        finally:
            client.subscriber.ended(reason)

    def _farewell(self, code: int, reason: str) -> MutableMapping[str, Any]:
        is_final = Disconnect(code, reason).is_terminal
        (last,) = self._wire.encode([Reply(0, Push(DisconnectPush(code, reason, reconnect=not is_final)))])
        assert isinstance(last, dict), "streams are made of ASGI messages"
        return {**last, "more_body": False}


class _Emulated(NamedTuple):
    """The body of an emulation request."""

    session: str
    node: str
    data: str | bytes


def read_emulation(body: bytes, *, is_protobuf: bool) -> _Emulated:
    """Return what an emulation request holds.

    Args:
        body: JSON, or Protobuf: ``node`` is field 1, ``session`` 2 and ``data`` 3, all of them with a length.
        is_protobuf: which.

    Raises:
        ValueError: it is neither.
    """
    if not is_protobuf:
        found = json.loads(body)
        values = [found.get(key) for key in _Emulated._fields] if isinstance(found, dict) else []
        texts = [one for one in values if isinstance(one, str)]
        if len(texts) != len(_Emulated._fields):
            raise ValueError("session, node and data must be texts")
        return _Emulated(*texts)
    fields = {1: b"", 2: b"", 3: b""}
    at = 0
    while at < len(body):
        key, at = _varint(body, at)
        size, at = _varint(body, at)
        if key & 7 != 2 or at + size > len(body):
            raise ValueError("not an EmulationRequest")
        fields[key >> 3] = body[at : at + size]
        at += size
    return _Emulated(fields[2].decode(), fields[1].decode(), fields[3])


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(body) and shift < 35:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("not an EmulationRequest")


def add_sdk_http(router: APIRouter, node_of: SdkNodeOf, serving: SdkNodeOf, options: HttpOptions) -> None:
    """Add the three routes.

    ``serving`` also returns a node that takes no new clients: those that are there go on sending pongs.
    """

    def ready(request: Request, node_of: SdkNodeOf = node_of) -> SdkNode:
        if not is_allowed_origin(request, options.allowed_origins):
            raise HTTPException(403, "the page's origin is not allowed")
        node = node_of()
        if node is None:
            raise HTTPException(503, "the server is not ready", headers={"retry-after": "1"})
        return node

    def with_room(request: Request) -> SdkNode:
        node = ready(request)
        if node.hub.refuses("centrifuge", peer_of(request.scope)):
            raise HTTPException(503, "too many subscribers", headers={"retry-after": "5"})
        return node

    @router.post("/connection/http_stream", include_in_schema=False)
    async def http_stream(request: Request) -> Response:
        node = with_room(request)
        body = await read_body(request, options.max_message_bytes)
        is_protobuf = request.headers.get("content-type") == PROTOBUF
        format_ = Format.PROTOBUF if is_protobuf else Format.JSON
        return _allowed(request, SdkStream(node, wire(format_, "stream"), body, PROTOBUF if is_protobuf else _JSON))

    @router.get("/connection/sse", include_in_schema=False)
    async def sse(request: Request) -> Response:
        node = with_room(request)
        commands = request.query_params.get("cf_connect", "")
        if not commands:
            raise HTTPException(400, "cf_connect is missing: the connect command as JSON, encoded for a URL")
        return _allowed(request, SdkStream(node, wire(Format.JSON, "events"), commands, "text/event-stream"))

    @router.post("/emulation", include_in_schema=False)
    async def emulation(request: Request) -> Response:
        node = ready(request, serving)
        body = await read_body(request, options.max_message_bytes)
        try:
            asked = read_emulation(body, is_protobuf=request.headers.get("content-type") == PROTOBUF)
        except ValueError as error:
            raise HTTPException(400, f"no emulation request: {error}") from error
        client = node.find(asked.session)
        if client is None or asked.node != node.id:
            raise HTTPException(404, "no such session on this node")
        client.on_message(asked.data)
        return _allowed(request, Response(status_code=204))

    @router.options("/connection/http_stream", include_in_schema=False)
    @router.options("/emulation", include_in_schema=False)
    async def preflight(request: Request) -> Response:
        if not is_allowed_origin(request, options.allowed_origins):
            raise HTTPException(403, "the page's origin is not allowed")
        headers = {"access-control-allow-methods": "POST, OPTIONS", "access-control-allow-headers": "content-type"}
        return _allowed(request, Response(status_code=204, headers=headers))


def _allowed(request: Request, response: Response) -> Response:
    """Let a page of another, allowed origin read the answer (Fetch standard, CORS protocol)."""
    if (origin := request.headers.get("origin")) is not None:
        response.headers["access-control-allow-origin"] = origin
        response.headers["access-control-allow-credentials"] = "true"
        response.headers["vary"] = "origin"
    return response
