"""``GET /events`` and ``GET /events/{filter}``: server-sent events, resumed by ``Last-Event-ID``.

The stream begins with a comment, so that a client knows at once that it is connected, and a comment follows every
25 s of silence, so that proxies keep it open and a vanished client is noticed.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from portcast.config import HttpOptions
from portcast.delivery import Encoding
from portcast.runtime import CLOSE_RESTART
from portcast.web.asgi_sink import AsgiSink
from portcast.web.peer import peer_of
from portcast.web.query import query_of
from portcast.web.resume import Encodings
from portcast.web.subscribe import NodeOf, Wish, read_wish, ready_node, serve
from portcast.web.transports import Receive, Scope, Send, transport_of


def _body(text: bytes, *, more: bool = True) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": text, "more_body": more}


def _farewell(code: int, reason: str) -> MutableMapping[str, Any]:
    # Nothing a client must know but that the stream ends: `EventSource` comes back by itself, with Last-Event-ID.
    return _body(f": closing {code} {' '.join(reason.split())}\n\n".encode(), more=False)


class EventStream(Response):
    """A response that lasts until the client leaves."""

    media_type = "text/event-stream"

    def __init__(
        self, node: NodeOf, encoding: Encoding, wish: Wish, keepalive_s: float, left_s: float | None = None
    ) -> None:
        super().__init__(
            headers={
                "cache-control": "no-store",
                # nginx would collect the stream in a buffer otherwise.
                "x-accel-buffering": "no",
                "x-content-type-options": "nosniff",
            }
        )
        self._node = node
        self._encoding = encoding
        self._wish = wish
        self._keepalive_s = keepalive_s
        self._left_s = left_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        headers = [(k, v) for k, v in self.raw_headers if k != b"content-length"]
        if scope.get("http_version", "1.1").startswith("1."):
            # A client that does not read is aborted after its stream's end: no other request may be on its connection.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send(_body(b": connected\n\n"))
        # Looked at here and not before: a middleware may have made `send` wait, and the stop may have begun.
        node = ready_node(self._node)
        if node is None:
            await send(_farewell(CLOSE_RESTART, "the server is not ready"))
            return
        sink = AsgiSink(
            send,
            transport=transport_of(scope),
            farewell=_farewell,
            keepalive=_body(b": keepalive\n\n"),
            keepalive_s=self._keepalive_s,
        )
        await serve(
            node,
            self._wish,
            self._encoding,
            sink,
            receive,
            transport="events",
            peer=peer_of(scope),
            left_s=self._left_s,
        )


def wish_of(request: Request, path_filter: str | None) -> Wish:
    """Return what a request asks for.

    Raises:
        TopicError: a filter is not valid.
        ValueError: another parameter is not valid.
    """
    headers = Headers(scope=request.scope)
    return read_wish(path_filter, query_of(request.scope), last_event_id=headers.get("last-event-id", ""))


def event_stream(
    wish: Wish, node: NodeOf, encodings: Encodings, options: HttpOptions, left_s: float | None = None
) -> EventStream:
    """Return the stream that is wished for; ``left_s`` is when it ends, None for never."""
    encoding = encodings.events(wish.filters, is_json=wish.is_json)
    return EventStream(node, encoding, wish, options.ping_interval_s, left_s)
