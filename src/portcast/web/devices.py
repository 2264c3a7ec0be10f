"""``/api/devices/...``: who the devices are, what is asked of them, and who is let in."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from binascii import Error as Base64Error
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from pydantic import ValidationError

from portcast.config import HttpOptions
from portcast.devices import Change, DeviceInfo, DeviceStatus
from portcast.errors import CodecError, CommandQueueFull, ConfigurationError, DeviceUnknown, ProtocolUnknown
from portcast.runtime import Device, Node
from portcast.runtime.device_json import change_body
from portcast.runtime.device_protocol import Outgoing
from portcast.runtime.device_submission import Submission
from portcast.types import CommandId, DeviceId
from portcast.web.body import read_body
from portcast.web.device_models import (
    CommandBody,
    CommandRequest,
    CommandsBody,
    CountsBody,
    DeviceBody,
    DevicesBody,
    Status,
)
from portcast.web.http_access import HttpAccess
from portcast.web.models import REFUSED, Problem, Unfit
from portcast.web.query import only_known, query_of
from portcast.web.subscribe import NodeOf, or_unavailable

PAGE = 100
"""Devices per page unless the client says otherwise; at most ten times that."""
WAIT_S = 10.0
"""How long a POST waits for the end of its command unless the client says otherwise: as long as an answer may take."""
MOST_WAIT_S = 60.0
"""Proxies give up on a request after a minute."""
TAKE_S = 1.0
"""How long a device may leave what was sent to it before, when a command is to be sent at once."""

_Responses = dict[int | str, dict[str, Any]]
_UNAVAILABLE: _Responses = {**REFUSED, 503: {"model": Problem}}
_FOUND: _Responses = {404: {"model": Problem}, **_UNAVAILABLE}
_CHANGED: _Responses = _FOUND
_SUBMITTED: _Responses = {
    202: {"model": CommandBody, "description": "not ended yet; `Location` says where to look"},
    400: {"model": Problem},
    409: {"model": Problem, "description": "the device never came, so nobody knows how it speaks"},
    413: {"model": Problem},
    422: {"model": Unfit, "description": "the idempotency key was used for another command"},
    429: {"model": Problem, "description": "as many commands wait as may"},
    **_CHANGED,
}
_COMMAND = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": CommandRequest.model_json_schema()}},
    }
}


class _Routes:
    """What all routes need: the running node, and who may change something."""

    def __init__(self, node: NodeOf, access: HttpAccess, options: HttpOptions) -> None:
        self.node = or_unavailable(node)
        self.look = Depends(access.look)
        self.change = Depends(access.change)
        self.options = options

    def device(self, device_id: str) -> Device:
        try:
            return self.node().devices.find(device_id)
        except DeviceUnknown as error:
            raise HTTPException(404, str(error)) from error

    def command(self, device: Device, command_id: str) -> Change:
        change = self.node().devices.commands.get(command_id)
        if change is None or change.command.device_id != device.id:
            raise HTTPException(404, f"no command {command_id[:80]!r} of this device is known")
        return change


def add_devices(router: APIRouter, node: NodeOf, access: HttpAccess, options: HttpOptions) -> None:
    """Add the routes of devices, commands and quarantine."""
    routes = _Routes(node, access, options)
    _add_list(router, routes)
    _add_decisions(router, routes)
    _add_submit(router, routes)
    _add_commands(router, routes)


def _add_list(router: APIRouter, routes: _Routes) -> None:
    @router.get(
        "/api/devices",
        tags=["devices"],
        responses={400: {"model": Problem}, **_UNAVAILABLE},
        dependencies=[Depends(only_known("status", "search", "after", "limit")), routes.look],
    )
    async def devices(
        request: Request,
        status: Annotated[Status | None, Query(description="only those of this status")] = None,
        search: Annotated[
            str, Query(max_length=255, description="only those whose id, address or tags contain it, in any case")
        ] = "",
        after: Annotated[str, Query(description="`next` of the page before")] = "",
        limit: Annotated[int, Query(ge=1, le=10 * PAGE, description="most devices returned")] = PAGE,
    ) -> DevicesBody:
        """List devices by id, connected or not."""
        the = routes.node()
        # FastAPI has read each `+` as a space.
        query = query_of(request.scope)
        after, search = query.get("after", after), query.get("search", search)
        roster = the.devices.roster
        page = roster.page(after, limit, None if status is None else DeviceStatus(status), search)
        seen = roster.statistics()
        return DevicesBody(
            at=round(the.unix_time(the.now()), 3),
            counts=CountsBody(online=seen.online, offline=seen.offline, quarantined=seen.quarantined),
            devices=[_device(the, one) for one in page.devices],
            next=page.after,
        )

    @router.get("/api/devices/{device}", tags=["devices"], responses=_FOUND, dependencies=[routes.look])
    async def device(device: str) -> DeviceBody:
        """Return one device."""
        return _device(routes.node(), routes.device(device).info)


def _add_decisions(router: APIRouter, routes: _Routes) -> None:
    @router.post("/api/devices/{device}/approve", tags=["devices"], responses=_CHANGED, dependencies=[routes.change])
    async def approve(device: str) -> DeviceBody:
        """Make a device known. If it was quarantined, its messages are handled from now on."""
        found = routes.device(device)
        found.approve()
        return _device(routes.node(), found.info)

    @router.delete(
        "/api/connections/{connection}",
        tags=["connections"],
        status_code=204,
        responses=_CHANGED,
        dependencies=[routes.change],
    )
    async def close(connection: str) -> None:
        """Close a device connection, after what was sent is out. Frames that were not handled yet are dropped."""
        found = routes.node().registry.get(connection)
        if found is None:
            raise HTTPException(404, f"no connection {connection[:80]!r} is open")
        found.close()


def _add_submit(router: APIRouter, routes: _Routes) -> None:
    @router.post(
        "/api/devices/{device}/commands",
        tags=["devices"],
        responses=_SUBMITTED,
        openapi_extra=_COMMAND,
        dependencies=[Depends(only_known("wait")), routes.change],
    )
    async def submit(
        device: str,
        request: Request,
        response: Response,
        wait: Annotated[
            float, Query(ge=0, le=MOST_WAIT_S, allow_inf_nan=False, description="seconds to wait for its end; 0: none")
        ] = WAIT_S,
        idempotency_key: Annotated[
            str | None,
            Header(min_length=1, max_length=255, description="sent again with the same key it is the same command"),
        ] = None,
    ) -> CommandBody:
        """Send a command and wait for its end: 200 with the end, whichever it is, or 202 while it has not ended.

        A client that leaves while it waits changes nothing; `DELETE` cancels a command that was not written yet.
        """
        try:
            found = routes.device(device)
        except HTTPException:
            routes.node().devices.commands.refuse_unknown(device)
            raise
        body = _read(await read_body(request, routes.options.max_message_bytes))
        the = routes.node()
        if the.state != "ready":
            raise HTTPException(503, "the server is stopping")
        change = await _submitted(the, found, _submission(found, body, idempotency_key))
        change = await _within(the, change, wait)
        if not change.is_end:
            response.status_code = 202
            where = request.url_for("device_command", device=device, command=change.command.command_id)
            response.headers["location"] = where.path
        return _command(the, change)


def _add_commands(router: APIRouter, routes: _Routes) -> None:
    @router.get(
        "/api/devices/{device}/commands",
        tags=["devices"],
        responses={400: {"model": Problem}, **_FOUND},
        dependencies=[Depends(only_known("after", "limit")), routes.look],
    )
    async def commands(
        device: str,
        after: Annotated[int, Query(ge=0, description="`next` of the page before")] = 0,
        limit: Annotated[int, Query(ge=1, le=10 * PAGE, description="most commands returned")] = PAGE,
    ) -> CommandsBody:
        """List the commands of a device that have not ended. The topic `$devices/{device}/commands` has the others."""
        the = routes.node()
        # By number, not id: the last command of the page before may have ended meanwhile.
        found = [one for one in the.devices.commands.commands_of(routes.device(device).id) if one.number > after]
        page = found[:limit]
        return CommandsBody(
            commands=[_command(the, one) for one in page], next=page[-1].number if len(found) > limit else None
        )

    @router.get(
        "/api/devices/{device}/commands/{command}",
        tags=["devices"],
        responses=_FOUND,
        name="device_command",
        dependencies=[routes.look],
    )
    async def command(device: str, command: str) -> CommandBody:
        """Return one command; the newest 10 000 that have ended are remembered."""
        return _command(routes.node(), routes.command(routes.device(device), command))

    @router.delete(
        "/api/devices/{device}/commands/{command}",
        tags=["devices"],
        responses={409: {"model": Problem, "description": "it was written already"}, **_CHANGED},
        dependencies=[routes.change],
    )
    async def cancel(device: str, command: str) -> CommandBody:
        """Cancel a command that was not written yet. One that has ended stays as it is."""
        before = routes.command(routes.device(device), command)
        the = routes.node()
        change = the.devices.commands.cancel(before.command.command_id) or before
        if not change.is_end:
            raise HTTPException(409, "the command was written already")
        return _command(the, change)


def _read(body: bytes) -> CommandRequest:
    try:
        read = CommandRequest.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        where = ".".join(map(str, problems[0]["loc"]))
        raise HTTPException(400, f"{where}: {problems[0]['msg']}" if where else problems[0]["msg"]) from None
    if (read.command is None) == (read.base64 is None):
        raise HTTPException(400, "one of command and base64 must be given")
    return read


def _submission(device: Device, body: CommandRequest, key: str | None) -> Submission:
    try:
        value: object = body.command if body.base64 is None else b64decode(body.base64, validate=True)
    except (Base64Error, ValueError) as error:
        raise HTTPException(400, "base64: it is none") from error
    command_id = None
    if key is not None:
        # Hashed: a key is for its device alone, and must be no way to another's commands.
        command_id = CommandId(sha256(f"{device.id}/{key}".encode("utf-8", "surrogatepass")).hexdigest()[:24])
    return Submission(
        value, body.answered, body.timeout, body.lifetime, body.idempotent, body.deduplication, command_id
    )


async def _submitted(node: Node, device: Device, submission: Submission) -> Change:
    try:
        async with asyncio.timeout(TAKE_S):
            change = await node.devices.commands.submit(device, submission)
    except TimeoutError as error:
        sentence = "the device does not take what was sent to it; the command was not submitted"
        raise HTTPException(503, sentence, headers={"retry-after": "1"}) from error
    except CommandQueueFull as error:
        raise HTTPException(429, str(error)) from error
    except ProtocolUnknown as error:
        raise HTTPException(409, str(error)) from error
    except (CodecError, ConfigurationError) as error:
        raise HTTPException(400, str(error)) from error
    except (TypeError, ValueError, AttributeError) as error:  # `write=`, which expected another kind of value
        raise HTTPException(400, f"the command cannot be written: {type(error).__name__}") from error
    payload = change.command.payload
    if isinstance(payload, Outgoing) and payload.value != submission.value:
        raise HTTPException(422, "this idempotency key was used for another command")
    return change


async def _within(node: Node, change: Change, wait_s: float) -> Change:
    """Return the end of a command if it comes in time, else its newest change."""
    if change.is_end or not wait_s:
        return change
    try:
        async with asyncio.timeout(wait_s):
            return await node.devices.commands.wait_end(change)
    except TimeoutError:
        return node.devices.commands.get(change.command.command_id) or change


def _device(node: Node, info: DeviceInfo) -> DeviceBody:
    def time(at: float | None) -> float | None:
        return None if at is None else round(node.unix_time(at), 3)

    return DeviceBody(
        id=info.device_id,
        status=info.status.value,
        is_known=info.is_known,
        first_seen=time(info.first_seen),
        last_seen=time(info.last_seen),
        address=info.address,
        connections=list(info.connections),
        attached=info.attached,
        frames=info.frames,
        payload_bytes=info.payload_bytes,
        open_commands=len(node.devices.commands.commands_of(DeviceId(info.device_id))),
        tags=dict(info.tags),
    )


def _command(node: Node, change: Change) -> CommandBody:
    return CommandBody(**change_body(change, node.unix_time))
