"""Puts every way in for clients on one router."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from portcast.config import HttpOptions
from portcast.errors import TopicError
from portcast.web.api import add_connections, add_health, add_topics
from portcast.web.events import EventStream, event_stream
from portcast.web.page import add_page
from portcast.web.resume import Encodings
from portcast.web.subscribe import NodeOf
from portcast.web.websocket import WebSocketEndpoint


def add_routes(router: APIRouter, node: NodeOf, options: HttpOptions, *, version: str, has_page: bool) -> None:
    """Add the live page, the WebSockets, the event streams, the API and the health checks."""
    encodings = Encodings(lambda: node().broker.node_epoch(), lambda at: node().unix_time(at))
    websocket = WebSocketEndpoint(node, encodings, options)
    router.add_websocket_route("/ws", websocket)  # type: ignore[arg-type]  # an ASGI app, which Starlette accepts
    router.add_websocket_route("/ws/{filter:path}", websocket)  # type: ignore[arg-type]
    _add_events(router, node, encodings, options)
    add_topics(router, node, options)
    add_connections(router, node, version)
    add_health(router, node)
    if has_page:
        add_page(router)


def _add_events(router: APIRouter, node: NodeOf, encodings: Encodings, options: HttpOptions) -> None:
    def stream(request: Request, path_filter: str | None) -> EventStream:
        if node().state != "ready":
            raise HTTPException(503, "the server is stopping", headers={"retry-after": "1"})
        try:
            return event_stream(request, path_filter, node, encodings, options)
        except (TopicError, ValueError) as error:
            raise HTTPException(400, str(error)) from error

    media = {200: {"content": {"text/event-stream": {}}, "description": "server-sent events"}}

    @router.get("/events", tags=["streams"], response_class=StreamingResponse, responses=media)  # type: ignore[arg-type]
    async def events(request: Request) -> EventStream:
        """Stream publications of the filters in the query, all topics if there are none."""
        return stream(request, None)

    @router.get("/events/{filter:path}", tags=["streams"], response_class=StreamingResponse, responses=media)  # type: ignore[arg-type]
    async def events_of(request: Request, filter: str) -> EventStream:  # noqa: A002 - the parameter's public name
        """Stream publications of one filter; a trailing `/` stands for `/#`. Resumes by `Last-Event-ID`."""
        return stream(request, filter)
