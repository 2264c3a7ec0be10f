from __future__ import annotations

import pytest

from device_kit import fleet
from portcast import Device, DeviceUnknown
from portcast.devices import DeviceStatus

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
