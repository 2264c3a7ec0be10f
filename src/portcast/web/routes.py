"""Puts every way in for clients on one router."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import StreamingResponse

from portcast.config import HttpOptions
from portcast.web.api import add_connections, add_health, add_publishing, add_slow_consumers, add_topics
from portcast.web.api_history import add_history
from portcast.web.api_route import ApiRoute
from portcast.web.devices import add_devices
from portcast.web.events import EventStream, event_stream, wish_of
from portcast.web.http_access import HttpAccess, left_s
from portcast.web.login import add_login
from portcast.web.models import REFUSED, Problem
from portcast.web.page import add_page
from portcast.web.peer import peer_of
from portcast.web.recorder import add_recorder
from portcast.web.resume import Encodings
from portcast.web.subscribe import MAX_REPLAY, NodeOf, ready_node
from portcast.web.websocket import WebSocketEndpoint


def add_routes(
    router: APIRouter, node: NodeOf, access: HttpAccess, options: HttpOptions, *, version: str, has_page: bool
) -> None:
    """Add the live page, the WebSockets, the event streams, the API and the health checks."""
    encodings = Encodings(lambda: node().broker.node_epoch(), lambda at: node().unix_time(at))
    websocket = WebSocketEndpoint(node, encodings, access, options)
    router.add_api_websocket_route("/ws", websocket.serve, name="websocket")
    router.add_api_websocket_route("/ws/{filter:path}", websocket.serve, name="websocket_of")
    _add_events(router, node, encodings, access, options)
    api = APIRouter(route_class=ApiRoute)
    add_topics(api, node, access)
    add_history(api, node, access)
    add_publishing(api, node, access, options)
    add_connections(api, node, access, version)
    add_slow_consumers(api, node, access)
    add_devices(api, node, access, options)
    add_recorder(api, node, access)
    router.include_router(api)
    add_login(router, access)
    add_health(router, node)
    if has_page:
        add_page(router)


def _parameter(place: str, name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": place, "name": name, "required": False, "description": description, "schema": schema}


_TEXT = {"type": "string"}
_STREAM: dict[str, Any] = {
    # Read by `read_wish`, as for WebSockets, and therefore described by hand.
    "parameters": [
        _parameter("query", "filter", "topic filter; may repeat", {"type": "array", "items": _TEXT}),
        _parameter("query", "format", "bare payloads, or JSON envelopes", {"enum": ["plain", "json"]}),
        _parameter("query", "since", "resume after this id; `Last-Event-ID` comes first", _TEXT),
        _parameter(
            "query",
            "history",
            "replay so many of the newest publications, as far as they fit 256 KiB; only without an id to resume from",
            {"type": "integer", "minimum": 0, "maximum": MAX_REPLAY},
        ),
        _parameter("header", "Last-Event-ID", "resume after this id; browsers send it by themselves", _TEXT),
    ]
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": _TEXT}}, "description": "server-sent events"},
    400: {"model": Problem},
    **REFUSED,
    503: {"model": Problem},
}


def _add_events(
    router: APIRouter, node: NodeOf, encodings: Encodings, access: HttpAccess, options: HttpOptions
) -> None:
    async def stream(request: Request, path_filter: str | None) -> EventStream:
        running = ready_node(node)
        if running is None:
            raise HTTPException(503, "the server is not ready", headers={"retry-after": "1"})
        if running.hub.refuses("events", peer_of(request.scope)):
            raise HTTPException(503, "too many subscribers", headers={"retry-after": "5"})
        try:
            wish = wish_of(request, path_filter)
        except ValueError as error:  # TopicError is one
            raise HTTPException(400, str(error)) from error
        caller = await access.may_follow(request, wish.filters, replays=wish.replays)
        return event_stream(wish, node, encodings, options, left_s(caller))

    get = partial(
        router.get, tags=["streams"], response_class=StreamingResponse, responses=_RESPONSES, openapi_extra=_STREAM
    )

    @get("/events")
    async def events(request: Request) -> EventStream:
        """Stream publications of the filters in the query, all topics if there are none."""
        return await stream(request, None)

    @get("/events/{filter:path}")
    async def events_of(
        request: Request,
        filter: Annotated[str, Path(description="topic filter; a trailing `/` stands for `/#`")],  # noqa: A002 - the parameter's public name
    ) -> EventStream:
        """Stream publications of one filter, and of those in the query."""
        return await stream(request, filter)
