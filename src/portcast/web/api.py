"""``/api/...`` and ``/health/...``: what the gateway knows, and publishing, over HTTP.

A topic's name stands in the path as it is, slashes included. That is unambiguous: the last ``/history`` of a GET is the
route's, and a POST has none, so ``a/history`` is published to at ``/api/topics/a/history`` and its history is at
``/api/topics/a/history/history``. There must never be a ``GET /api/topics/{topic}``.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from portcast.brokers.base import TopicInfo
from portcast.config import HttpOptions
from portcast.delivery import Standing
from portcast.errors import TopicError
from portcast.publication import Position, Publication
from portcast.runtime import Connection, Listener, Node, Subscriber
from portcast.topics import validate_filter, validate_topic
from portcast.types import DeviceId
from portcast.web.body import read_body
from portcast.web.http_access import HttpAccess
from portcast.web.models import (
    REFUSED,
    BufferedBody,
    ConnectionBody,
    ConnectionsBody,
    HealthBody,
    HistoryBody,
    ListenerBody,
    ListenersBody,
    LoopBody,
    LossBody,
    MemoryBody,
    PositionBody,
    Problem,
    PublicationBody,
    ReadyBody,
    SlowConsumerBody,
    SlowConsumersBody,
    TopicBody,
    TopicsBody,
)
from portcast.web.query import only_known, query_of
from portcast.web.subscribe import NodeOf, or_unavailable, running_node

PAGE = 100
"""Entries per page unless the client says otherwise; at most ten times that."""

SHOWN_DEVICES = 10
"""Devices named per connection; a concentrator may have a thousand."""

_Limit = Annotated[int, Query(ge=1, le=10 * PAGE, description="most entries returned")]

_UNAVAILABLE: dict[int | str, dict[str, Any]] = {**REFUSED, 503: {"model": Problem}}
_REFUSED: dict[int | str, dict[str, Any]] = {400: {"model": Problem}, **_UNAVAILABLE}
_PUBLISHED: dict[int | str, dict[str, Any]] = {413: {"model": Problem}, **_REFUSED}
_BODY = {
    "requestBody": {
        "required": False,
        "description": "the message, byte for byte, whatever its content type",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def _only(*known: str) -> Any:
    return Depends(only_known(*known))


def add_health(router: APIRouter, node: NodeOf) -> None:
    """Add the health routes."""

    @router.head("/health/live", include_in_schema=False)
    @router.get("/health/live", tags=["health"])
    async def live() -> HealthBody:
        """Answer as long as the event loop turns."""
        return HealthBody(status="ok")

    @router.head("/health/ready", include_in_schema=False)
    @router.get("/health/ready", tags=["health"], responses={503: {"model": ReadyBody}})
    async def ready(response: Response) -> ReadyBody:
        """Answer 200 while devices and clients are accepted, 503 before start, while stopping, and short of memory."""
        the = running_node(node)
        if the is None:
            response.status_code = 503
            return ReadyBody(status="stopped", loop=None)
        if not the.takes_clients:
            response.status_code = 503
        seen = the.watchdog.statistics()
        loop = LoopBody(lag=round(seen.lag_s, 3), worst_lag=round(seen.worst_lag_s, 3), blocked=seen.blocked)
        return ReadyBody(status="memory" if the.state == "ready" and not the.takes_clients else the.state, loop=loop)


def add_topics(router: APIRouter, node: NodeOf, access: HttpAccess) -> None:
    """Add the routes of topics and history."""
    running = or_unavailable(node)

    @router.get("/api/topics", tags=["topics"], responses=_REFUSED, dependencies=[_only("filter", "after", "limit")])
    async def topics(
        request: Request,
        filter: Annotated[str, Query(description="topic filter")] = "#",  # noqa: A002 - the parameter's public name
        after: Annotated[str, Query(description="the last topic of the page before")] = "",
        limit: _Limit = PAGE,
    ) -> TopicsBody:
        """List known topics by name."""
        # FastAPI has read each `+` as a space.
        query = query_of(request.scope)
        filter, after = query.get("filter", filter), query.get("after", after)  # noqa: A001 - as above
        _check(validate_filter, filter)
        the = running()
        await access.may_follow(request, [filter], replays=False)
        known = [one for one in the.broker.topics(filter, the.now()) if one.topic > after]
        page = [_topic(the, one) for one in known[:limit]]
        return TopicsBody(topics=page, next=page[-1].topic if len(known) > limit else None)

    @router.get(
        "/api/topics/{topic:path}/history",
        tags=["topics"],
        responses=_REFUSED,
        response_model_exclude_none=True,
        dependencies=[_only("since", "limit", "reverse")],
    )
    async def history(
        request: Request,
        topic: str,
        since: Annotated[
            str | None, Query(description="a position, `epoch:offset`; only what follows it, before it in reverse")
        ] = None,
        limit: Annotated[int, Query(ge=0, le=10 * PAGE, description="most publications returned")] = PAGE,
        reverse: Annotated[bool, Query(description="newest first")] = False,
    ) -> HistoryBody:
        """Return retained publications of one topic, oldest first unless `reverse`."""
        _check(validate_topic, topic)
        the = running()
        await access.may_read(request, [topic])
        publications = the.broker.history(topic, since=_position(since), limit=limit, is_reverse=reverse, now=the.now())
        at = the.broker.position(topic)
        return HistoryBody(
            topic=topic, epoch=at.epoch, offset=at.offset, publications=[_body(the, one) for one in publications]
        )


def add_publishing(router: APIRouter, node: NodeOf, access: HttpAccess, options: HttpOptions) -> None:
    """Add the route that publishes."""
    running = or_unavailable(node)

    @router.post("/api/topics/{topic:path}", tags=["topics"], responses=_PUBLISHED, openapi_extra=_BODY)
    async def publish(topic: str, request: Request) -> PositionBody:
        """Publish the request's body, byte for byte, and return its position.

        Waits while a slow subscriber holds the topic. Topics that begin with `$` are the server's own.
        """
        access.check_origin(request)
        _check(validate_topic, topic)
        if topic.startswith("$"):
            raise HTTPException(400, f"topic {topic[:80]!r}: topics that begin with $ are the server's own")
        the = running()
        if not the.takes_clients:
            why = "memory is short" if the.memory.is_short else "the server is stopping"
            raise HTTPException(503, why, headers={"retry-after": "1"})
        payload = await read_body(request, options.max_message_bytes)
        the.registry.allowance.spend(len(payload))
        await access.may_publish(request, topic, payload)
        position = await the.publish(topic, payload)
        return PositionBody(topic=topic, epoch=position.epoch, offset=position.offset)


def add_connections(router: APIRouter, node: NodeOf, access: HttpAccess, version: str) -> None:
    """Add the routes of listeners and connections."""
    running = or_unavailable(node)

    @router.get("/api/listeners", tags=["connections"], responses=_UNAVAILABLE, dependencies=[Depends(access.look)])
    async def listeners() -> ListenersBody:
        """List listeners with their counters."""
        the = running()
        hub = the.hub.statistics()
        return ListenersBody(
            listeners=[_listener(one) for one in the.listeners],
            version=version,
            subscribers=hub.subscribers,
            delivered=hub.delivered,
            dropped=hub.dropped,
            max_connections=the.registry.max_connections,
            devices=len(the.devices.roster),
        )

    @router.get("/api/memory", tags=["connections"], responses=_UNAVAILABLE, dependencies=[Depends(access.look)])
    async def memory() -> MemoryBody:
        """Tell how much memory is used, how much may be, and where bytes wait."""
        seen = running().memory.statistics()
        return MemoryBody(
            is_short=seen.is_short,
            times_short=seen.times_short,
            used_bytes=seen.use.resident,
            limit_bytes=seen.limit.bytes,
            limit_source=seen.limit.source,
            buffered=BufferedBody(total=seen.buffered.total, **asdict(seen.buffered)),
        )

    @router.get(
        "/api/connections",
        tags=["connections"],
        responses=_REFUSED,
        dependencies=[_only("listener", "device", "after", "limit"), Depends(access.look)],
    )
    async def connections(
        request: Request,
        listener: Annotated[str | None, Query(description="only those of the listener with this name")] = None,
        device: Annotated[str | None, Query(description="only those of the device with this id")] = None,
        after: Annotated[str, Query(description="the last id of the page before")] = "",
        limit: _Limit = PAGE,
    ) -> ConnectionsBody:
        """List device connections by id."""
        query = query_of(request.scope)
        listener, device = query.get("listener", listener), query.get("device", device)
        the = running()
        known = sorted(
            (one for one in _open(the, device) if one.id > after and listener in (None, one.listener)),
            key=lambda one: one.id,
        )
        page = [_connection(the, one) for one in known[:limit]]
        return ConnectionsBody(connections=page, next=page[-1].id if len(known) > limit else None)


def add_slow_consumers(router: APIRouter, node: NodeOf, access: HttpAccess) -> None:
    """Add the route of clients that do not keep up."""
    running = or_unavailable(node)

    @router.get(
        "/api/slow-consumers",
        tags=["connections"],
        responses=_REFUSED,
        dependencies=[_only("limit"), Depends(access.look)],
    )
    async def slow_consumers(limit: _Limit = PAGE) -> SlowConsumersBody:
        """Tell who does not keep up, and what was lost since start by topic, policy and reason."""
        hub = running().hub
        slow = [one for one in hub.subscribers if one.outbox.standing is not Standing.HEALTHY]
        slow.sort(key=lambda one: one.outbox.waiting_messages + one.outbox.behind, reverse=True)
        seen = hub.statistics()
        return SlowConsumersBody(
            subscribers=seen.subscribers,
            delivered=seen.delivered,
            dropped=seen.dropped,
            waiting=seen.waiting,
            behind=seen.behind,
            slow=seen.slow,
            demoted=seen.demoted,
            removed=seen.removed,
            now=[_slow_consumer(one) for one in slow[:limit]],
            losses=[
                LossBody(topic=one.topic, policy=one.policy, reason=one.reason, messages=one.messages)
                for one in hub.losses()[:limit]
            ],
        )


def _topic(node: Node, one: TopicInfo) -> TopicBody:
    return TopicBody(
        topic=one.topic,
        epoch=one.position.epoch,
        offset=one.position.offset,
        retained=one.retained,
        retained_bytes=one.retained_bytes,
        subscribers=node.hub.count(one.topic),
        published_at=round(node.unix_time(one.published_at), 3),
    )


def _listener(one: Listener) -> ListenerBody:
    seen = one.statistics()
    return ListenerBody(
        name=one.name,
        address=one.address.url,
        framing=one.framing_text,
        target=one.target,
        state=one.state,
        connections=seen.connections,
        accepted=seen.accepted,
        frames=seen.frames,
        bytes_received=seen.bytes_received,
        bytes_sent=seen.bytes_sent,
        errors=seen.errors,
    )


def _open(node: Node, device: str | None) -> Iterable[Connection]:
    """Return the connections of a device, or all."""
    if device is None:
        return node.registry
    info = node.devices.roster.get(DeviceId(device))
    found = map(node.registry.get, info.connections if info is not None else ())
    return [one for one in found if one is not None]


def _connection(node: Node, one: Connection) -> ConnectionBody:
    return ConnectionBody(
        id=one.id,
        listener=one.listener,
        peer=one.peer,
        opened_at=round(node.unix_time(one.opened_at), 3),
        received_at=round(node.unix_time(one.received_at), 3),
        frames=one.frames,
        bytes_received=one.bytes_received,
        bytes_sent=one.bytes_sent,
        skipped_bytes=one.skipped_bytes,
        devices=list(node.devices.roster.devices_of(one.id)[:SHOWN_DEVICES]),
        is_reading=one.is_reading,
    )


def _slow_consumer(one: Subscriber) -> SlowConsumerBody:
    outbox = one.outbox
    return SlowConsumerBody(
        id=one.id,
        transport=one.transport,
        peer=one.peer,
        filters=list(one.filters),
        standing="demoted" if outbox.standing is Standing.DEMOTED else "holding",
        policy=outbox.policy,
        waiting=outbox.waiting_messages,
        waiting_bytes=outbox.waiting_bytes,
        behind=outbox.behind,
    )


def _body(node: Node, one: Publication) -> PublicationBody:
    time = round(node.unix_time(one.at), 3)
    try:
        return PublicationBody(offset=one.offset, time=time, data=one.data.decode())
    except UnicodeDecodeError:
        return PublicationBody(offset=one.offset, time=time, base64=b64encode(one.data).decode())


def _check(validate: Any, name: str) -> None:
    try:
        validate(name)
    except TopicError as error:
        raise HTTPException(400, str(error)) from error


def _position(text: str | None) -> Position | None:
    if text is None:
        return None
    epoch, _, offset = text.rpartition(":")
    if not epoch or not (offset.isascii() and offset.isdigit() and len(offset) < 20):
        raise HTTPException(400, "since must be a position, epoch:offset")
    return Position(epoch, int(offset))
