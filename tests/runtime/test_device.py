from __future__ import annotations

import asyncio
import math

import pytest

from device_kit import fleet, history, line, say
from portcast import CommandFailed, ConfigurationError, Device, DeviceUnknown, by_field
from portcast.devices import CommandState, DeviceStatus

pytestmark = pytest.mark.anyio


async def test_a_device_outlives_its_connections() -> None:
    """The same object before, during and after."""
    async with fleet() as the:
        socket = await the.connect({"id": "a"})
        await the.heard(1)
        device = the.gateway.device("a")
        assert isinstance(device, Device)
        assert repr(device) == "<Device a>"
        assert device.is_online
        assert device.connections[0].device is device
        socket.close()
        await the.status("a", "offline")
        assert (device.status, device.connections) == (DeviceStatus.OFFLINE, ())
        assert the.gateway.device("a") is device


async def test_tags() -> None:
    """Are added to and replaced, by name."""
    async with fleet() as the:
        await the.connect({"id": "a"})
        await the.heard(1)
        device = the.gateway.device("a")
        device.tag(site="north", kind="scale")
        device.tag(site="south")
        assert dict(device.tags) == {"site": "south", "kind": "scale"}
        device.forget()
        with pytest.raises(DeviceUnknown):
            device.tag(site="x")


async def test_close_and_approve() -> None:
    """What an operator does."""
    async with fleet(unknown="quarantine") as the:
        await the.connect({"id": "a"})
        await the.status("a", "quarantined")
        device = the.gateway.device("a")
        assert not device.is_online
        device.approve()
        assert device.is_online
        device.close()
        assert (await the.ended(1))[0].reason == "closed"


@pytest.mark.parametrize("mode", ["answered", "refused", "timed_out"])
async def test_request(mode: str) -> None:
    """Returns the device's own answer, or says how it ended otherwise."""
    replies = by_field("re", refused=lambda message: not message["ok"])
    async with fleet(replies=replies) as the:
        socket = await the.connect({"id": "a"})
        await the.heard(1)
        asked = asyncio.ensure_future(the.gateway.device("a").request("x", timeout=5 if mode != "timed_out" else 0.05))
        assert await line(socket) == b"x"
        if mode != "timed_out":
            await say(socket, {"id": "a", "re": 1, "ok": mode == "answered"})
        if mode == "answered":
            assert await asked == {"id": "a", "re": 1, "ok": True}
            return
        with pytest.raises(CommandFailed, match=mode.replace("_", " ")) as caught:
            await asked
        assert caught.value.state == mode
        assert (caught.value.answer is not None) is (mode == "refused")


async def test_request_to_a_device_that_is_away() -> None:
    """Nobody waits longer than the answer may take; and one that nobody waits for any more is not written."""
    async with fleet(replies=by_field("re")) as the:
        (await the.connect({"id": "a"})).close()
        await the.status("a", "offline")
        device = the.gateway.device("a")
        with pytest.raises(CommandFailed, match="expired"):
            await device.request("x", timeout=0.05)
        with pytest.raises(CommandFailed, match="expired"):
            await device.request("x", lifetime=0)
        asked = asyncio.ensure_future(device.request("x"))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        states = [one["state"] for one in history(the.gateway, "$devices/a/commands")]
        assert states == ["queued", "expired", "queued", "expired", "queued", "cancelled"]


async def test_send() -> None:
    """Written at once, or when the device is back: after its first message was acknowledged."""
    async with fleet(ack=lambda message, result: b"ok") as the:
        (await the.connect({"id": "a"})).close()
        await the.status("a", "offline")
        device = the.gateway.device("a")
        assert (await device.send("1")).state is CommandState.QUEUED
        assert (await device.send("2", deduplication="k")).state is CommandState.QUEUED
        assert (await device.send({"n": 3}, deduplication="k")).state is CommandState.QUEUED
        assert (await device.send("4", lifetime=0)).state is CommandState.EXPIRED
        socket = await the.connect({"id": "a"})
        assert [await line(socket) for _ in range(3)] == [b"ok", b"1", b'{"n":3}']
        assert (await device.send(b"5")).state is CommandState.DELIVERED
        assert await line(socket) == b"5"


async def test_commands_of_a_replaced_connection() -> None:
    """Those in flight are unknown, unless the device may get them twice; those that wait go to the new one."""
    async with fleet(replies=by_field("re")) as the:
        old = await the.connect({"id": "a"})
        await the.heard(1)
        device = the.gateway.device("a")
        lost = asyncio.ensure_future(device.request("lost"))
        again = asyncio.ensure_future(device.request("again", idempotent=True))
        assert [await line(old), await line(old)] == [b"lost", b"again"]
        new = await the.connect({"id": "a"})
        assert await line(new) == b"again"
        with pytest.raises(CommandFailed, match="unknown"):
            await lost
        await say(new, {"id": "a", "re": 2})
        assert await again == {"id": "a", "re": 2}


async def test_commands_of_a_quarantined_device_wait_for_approval() -> None:
    """Nothing is written to somebody who may be anybody."""
    async with fleet(unknown="quarantine") as the:
        socket = await the.connect({"id": "a"})
        await the.status("a", "quarantined")
        device = the.gateway.device("a")
        assert (await device.send("x")).state is CommandState.QUEUED
        device.approve()
        assert await line(socket) == b"x"


async def test_a_timeout_that_is_no_number_is_the_callers_fault_alone() -> None:
    """It comes from a client perhaps, by way of a call; other commands go on and end as they should."""
    async with fleet(replies=by_field("re")) as the:
        await the.connect({"id": "a"})
        await the.heard(1)
        device = the.gateway.device("a")
        with pytest.raises(ConfigurationError):
            await device.request("x", timeout=math.nan)
        with pytest.raises(CommandFailed, match="timed out"):
            await device.request("x", timeout=0.05)
