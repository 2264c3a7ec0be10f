"""``/api/recorder/...``, and what is recorded of a device or connection: the flight recorder over HTTP.

A rule stands in the path as it is, slashes included, since listeners are named by their URLs. All of it needs the
rights of who may command: frames are what devices sent before anything looked at it, their credentials perhaps.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query

from portcast.config import MOST_SECONDS
from portcast.errors import ConfigurationError
from portcast.recorder import SubjectInfo
from portcast.runtime import FlightRecorder, Node
from portcast.runtime.recorder_json import CONNECTION, device_of, entry_body
from portcast.types import DeviceId
from portcast.web.http_access import HttpAccess
from portcast.web.models import REFUSED, Problem
from portcast.web.query import only_known
from portcast.web.recorder_models import FrameBody, FramesBody, RecorderBody, RecordingBody, RuleBody
from portcast.web.subscribe import NodeOf, or_unavailable

PAGE = 100
"""Entries per page unless the client says otherwise; at most ten times that."""
FOR_S = 3600.0
"""How long a rule holds unless the client says otherwise: nobody shall forget it, for payloads are sensitive."""

_Responses = dict[int | str, dict[str, Any]]
_UNAVAILABLE: _Responses = {**REFUSED, 503: {"model": Problem}}
_FOUND: _Responses = {404: {"model": Problem}, **_UNAVAILABLE}
_REFUSED: _Responses = {400: {"model": Problem}, **_FOUND}

_After = Annotated[int, Query(ge=0, description="only frames with a greater number")]
_Limit = Annotated[int, Query(ge=1, le=10 * PAGE, description="most entries returned")]


class _Routes:
    def __init__(self, node: NodeOf, access: HttpAccess) -> None:
        self.node = or_unavailable(node)
        self.read = Depends(access.inspect)
        self.allowed = Depends(access.change)

    def check(self, *, device: str | None = None, connection: str | None = None) -> FlightRecorder:
        """Return the recorder if there is, was or may be such a device or connection."""
        node = self.node()
        recorder = node.recorder
        if device is not None:
            is_there = DeviceId(device) in node.devices.roster or recorder.means(device)
        else:
            is_there = node.registry.get(connection or "") is not None
        subjects = recorder.subjects_of(device, connection) or []
        if not is_there and all(recorder.log.info(one) is None for one in subjects):
            name = f"device {device[:80]!r}" if device is not None else f"connection {(connection or '')[:80]!r}"
            raise HTTPException(404, f"no {name} is known, and nothing of it is recorded")
        return recorder


def add_recorder(router: APIRouter, node: NodeOf, access: HttpAccess) -> None:
    """Add the routes of the flight recorder."""
    routes = _Routes(node, access)
    _add_recorder(router, routes)
    _add_rules(router, routes)
    _add_frames(router, routes)
    _add_forgetting(router, routes)


def _add_recorder(router: APIRouter, routes: _Routes) -> None:
    @router.get(
        "/api/recorder",
        tags=["recorder"],
        responses=_UNAVAILABLE,
        dependencies=[Depends(only_known("after", "limit")), routes.read],
    )
    async def recorder(
        after: Annotated[str, Query(description="`next` of the page before")] = "", limit: _Limit = PAGE
    ) -> RecorderBody:
        """Show what the flight recorder is told to record, and of which devices and connections it holds something."""
        the = routes.node()
        log = the.recorder.log
        log.expire(the.now())
        found = log.subjects(after, limit + 1)
        return RecorderBody(
            rules=[_rule(the, str(rule), until) for rule, until in the.recorder.rules()],
            connections=the.recorder.recorded_connections,
            frames=len(log),
            bytes=log.bytes,
            last_number=log.last_number,
            unpublished=the.recorder.unpublished,
            recordings=[_recording(the, one) for one in found[:limit]],
            next=found[limit - 1].subject if len(found) > limit else None,
        )


def _add_rules(router: APIRouter, routes: _Routes) -> None:
    @router.put(
        "/api/recorder/rules/{rule:path}",
        tags=["recorder"],
        responses={400: {"model": Problem}, **_UNAVAILABLE, 404: {"description": "a rule holds no line breaks"}},
        dependencies=[Depends(only_known("for")), routes.allowed],
    )
    async def record(
        rule: str,
        for_s: Annotated[
            float,
            Query(alias="for", gt=0, le=MOST_SECONDS, allow_inf_nan=False, description="seconds after which it ends"),
        ] = FOR_S,
    ) -> RuleBody:
        """Record what a rule means from now on. Said again, the new end counts."""
        the = routes.node()
        try:
            parsed = the.recorder.record(rule, for_s=for_s)
        except ConfigurationError as error:
            raise HTTPException(400, error.problem) from error
        return _rule(the, str(parsed), the.now() + for_s)

    @router.delete(
        "/api/recorder/rules/{rule:path}",
        tags=["recorder"],
        status_code=204,
        responses=_REFUSED,
        dependencies=[routes.allowed],
    )
    async def stop(rule: str) -> None:
        """Take a rule away. What was recorded stays until it is too old."""
        try:
            was_there = routes.node().recorder.stop(rule)
        except ConfigurationError as error:
            raise HTTPException(400, error.problem) from error
        if not was_there:
            raise HTTPException(404, f"no rule {rule[:80]!r} holds")


def _add_frames(router: APIRouter, routes: _Routes) -> None:
    known = [Depends(only_known("after", "limit")), routes.read]

    @router.get("/api/recorder/frames", tags=["recorder"], responses=_UNAVAILABLE, dependencies=known)
    async def frames(after: _After = 0, limit: _Limit = PAGE) -> FramesBody:
        """Return everything that is recorded, oldest first. To follow it, ask for what comes after the last number."""
        return _frames(routes.node(), after, limit)

    @router.get("/api/devices/{device}/frames", tags=["recorder"], responses=_FOUND, dependencies=known)
    async def frames_of_device(device: str, after: _After = 0, limit: _Limit = PAGE) -> FramesBody:
        """Return what is recorded of a device, with what is of the connections that it shares with others."""
        routes.check(device=device)
        return _frames(routes.node(), after, limit, device=device)

    @router.get("/api/connections/{connection}/frames", tags=["recorder"], responses=_FOUND, dependencies=known)
    async def frames_of_connection(connection: str, after: _After = 0, limit: _Limit = PAGE) -> FramesBody:
        """Return what is recorded of a connection, open or not, except for what is a device's."""
        routes.check(connection=connection)
        return _frames(routes.node(), after, limit, connection=connection)


def _add_forgetting(router: APIRouter, routes: _Routes) -> None:
    delete = partial(router.delete, tags=["recorder"], status_code=204, dependencies=[routes.allowed])

    @delete("/api/recorder/frames", responses=_UNAVAILABLE)
    async def forget() -> None:
        """Forget everything that is recorded; recording goes on."""
        routes.node().recorder.forget()

    @delete("/api/devices/{device}/frames", responses=_FOUND)
    async def forget_device(device: str) -> None:
        """Forget what is recorded of a device; recording goes on."""
        routes.check(device=device).forget(device=device)

    @delete("/api/connections/{connection}/frames", responses=_FOUND)
    async def forget_connection(connection: str) -> None:
        """Forget what is recorded of a connection; recording goes on."""
        routes.check(connection=connection).forget(connection=connection)


def _rule(node: Node, rule: str, until: float | None) -> RuleBody:
    return RuleBody(rule=rule, until=None if until is None else round(node.unix_time(until), 3))


def _recording(node: Node, info: SubjectInfo) -> RecordingBody:
    device = device_of(info.subject)
    return RecordingBody(
        device=device,
        connection=info.subject.removeprefix(CONNECTION) if device is None else None,
        frames=info.entries,
        bytes=info.bytes,
        skipped=info.skipped,
        evicted=info.evicted,
        last_at=round(node.unix_time(info.last_at), 3),
    )


def _frames(
    node: Node, after: int, limit: int, *, device: str | None = None, connection: str | None = None
) -> FramesBody:
    recorder = node.recorder
    found = recorder.frames(device=device, connection=connection, after=after, limit=limit + 1)
    is_recording = (
        recorder.is_recording(device=device, connection=connection)
        if device is not None or connection is not None
        else recorder.recorded_connections > 0
    )
    return FramesBody(
        is_recording=is_recording,
        frames=[FrameBody(**entry_body(one, node.unix_time)) for one in found[:limit]],
        next=found[limit - 1].number if len(found) > limit else None,
    )
