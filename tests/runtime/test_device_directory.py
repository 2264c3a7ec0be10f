from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import time
from typing import Any

import pytest

from device_kit import LOCAL, fleet, history, line, say
from portcast import Connection, DeviceIdError, DeviceOptions, DeviceSettings, DeviceUnknown, Gateway
from portcast.devices import DeviceStatus
from portcast.events import DeviceAttached, DeviceDetached, DeviceRejected
from runtime_kit import eventually, turns

pytestmark = pytest.mark.anyio


# Presence


async def test_presence_is_published_and_the_last_value_kept() -> None:
    """Whoever subscribes begins with what is the case."""
    async with fleet() as the:
        device = await the.connect({"id": "a"})
        await the.status("a", "online")
        (online,) = history(the.gateway, "$devices/a/status")
        (connection,) = the.gateway.device("a").connections
        assert abs(online.pop("since") - time()) < 5
        assert online == {"status": "online", "address": connection.peer, "connection": connection.id}
        device.close()
        await the.status("a", "offline")
        (offline,) = history(the.gateway, "$devices/a/status")
        assert offline["connection"] is None
        assert [type(one) for one in the.events if isinstance(one, DeviceAttached | DeviceDetached)] == [
            DeviceAttached,
            DeviceDetached,
        ]


async def test_presence_of_the_last_moment_is_kept_for_a_topic_of_the_users_own_options_only() -> None:
    """`[topics."$devices/+/status"]` says otherwise."""
    gateway = Gateway(topics={"$devices/+/status": _nothing_kept()})

    @gateway.listen(LOCAL, identify=lambda message: "a")
    async def on_message(message: str) -> None: ...

    assert "$devices/+/status" in gateway._topics


def _nothing_kept() -> Any:
    from portcast import TopicOptions

    return TopicOptions(history=0)


# Takeover


async def test_replace_closes_the_old_connection() -> None:
    """A device that lost its network is back before its old connection is found dead."""
    async with fleet() as the:
        old = await the.connect({"id": "a"})
        await the.heard(1)
        first = the.gateway.device("a").connections
        await the.connect({"id": "a"})
        await the.heard(2)
        (end,) = await the.ended(1)
        assert (end.connection_id, end.reason, end.detail) == (first[0].id, "replaced", "device a connected anew")
        assert await old.receive_all() == b""
        assert the.statuses("a") == ["online"]
        assert [one.reason for one in the.of(DeviceAttached)] == ["online", "again"]
        assert the.gateway._running().devices.roster.statistics().replaced == 1


async def test_replace_leaves_a_connection_open_on_which_others_speak() -> None:
    """A concentrator loses one device, not all."""
    async with fleet() as the:
        shared = await the.connect({"id": "a"}, {"id": "b"}, {"id": "a"})
        await the.heard(3)
        await the.connect({"id": "a"})
        await the.heard(4)
        await say(shared, {"id": "b", "n": 1})
        await the.heard(5)
        assert the.seen[-1][0] == "b"
        assert len(the.gateway.device("a").connections) == 1


async def test_reject_closes_the_new_connection() -> None:
    """As long as the old one lives."""
    async with fleet(takeover="reject") as the:
        await the.connect({"id": "a"})
        await the.heard(1)
        await the.connect({"id": "a"})
        (end,) = await the.ended(1)
        assert (end.reason, end.detail) == ("rejected", "device a: connected")
        assert [one.reason for one in the.of(DeviceRejected)] == ["connected"]
        assert len(the.gateway.device("a").connections) == 1


async def test_allow_keeps_both() -> None:
    """The device is online until the last has ended; what is said of it follows the newest."""
    async with fleet(takeover="allow") as the:
        old = await the.connect({"id": "a"})
        await the.heard(1)
        new = await the.connect({"id": "a"})
        await the.heard(2)
        device = the.gateway.device("a")
        one, two = device.connections
        assert history(the.gateway, "$devices/a/status")[0]["connection"] == two.id
        new.close()
        await eventually(lambda: device.connections == (one,))
        assert history(the.gateway, "$devices/a/status")[0]["connection"] == one.id
        old.close()
        await the.status("a", "offline")


async def test_what_a_dead_connection_still_holds_takes_nobodys_place() -> None:
    """Its messages are handled, and belong to the device, which is on another connection."""
    gate = asyncio.Event()

    async def work(message: dict[str, Any], connection: Connection) -> object:
        if message.get("n") == 0:
            await gate.wait()
        return None

    async with fleet(work=work) as the:
        dead = await the.connect({"id": "x", "n": 0}, {"id": "a", "n": 1}, {"id": "a", "n": 2})
        await the.heard(1)
        dead.reset()
        await the.status("x", "offline")
        await the.connect({"id": "a", "n": 3})
        await the.heard(2)
        (living,) = the.gateway.device("a").connections
        gate.set()
        await the.heard(4)
        assert the.gateway.device("a").connections == (living,)
        assert [(owner, m["n"]) for owner, m in the.seen] == [("x", 0), ("a", 3), ("a", 1), ("a", 2)]


async def test_a_device_that_was_heard_only_after_its_end_is_offline() -> None:
    """It came, spoke and left before anybody listened."""
    gate = asyncio.Event()

    async def work(message: dict[str, Any], connection: Connection) -> object:
        if message.get("n") == 0:
            await gate.wait()
        return None

    async with fleet(work=work) as the:
        dead = await the.connect({"id": "x", "n": 0}, {"id": "a", "n": 1}, {"id": "a", "n": 2})
        await the.heard(1)
        dead.reset()
        await the.status("x", "offline")
        gate.set()
        await the.heard(3)
        assert [owner for owner, _ in the.seen] == ["x", "a", "a"]
        assert the.statuses("a") == ["offline"]
        assert the.gateway.device("a").info.attached == 1


# Known and unknown devices


async def test_announced_devices_are_known_before_they_come() -> None:
    """With their tags; nobody else is let in."""
    settings = DeviceSettings(DeviceOptions(unknown="reject"), known={"a": {"site": "north"}})
    async with fleet(settings) as the:
        device = the.gateway.device("a")
        assert (device.status, dict(device.tags)) == (DeviceStatus.OFFLINE, {"site": "north"})
        await the.connect({"id": "a"})
        await the.heard(1)
        assert device.is_online
        await the.connect({"id": "b"})
        await the.ended(1)
        with pytest.raises(DeviceUnknown, match="no device 'b' is known"):
            the.gateway.device("b")


async def test_an_announced_id_must_be_one() -> None:
    """Found at start."""
    with pytest.raises(DeviceIdError):
        async with fleet(DeviceSettings(known={"a/b": {}})):
            pass


async def test_the_application_may_be_asked() -> None:
    """Once for each device that it knows; its tags are kept. For those that it does not know the rule applies."""
    asked: list[str] = []

    async def lookup(device_id: str) -> Mapping[str, str] | None:
        asked.append(device_id)
        await asyncio.sleep(0)
        return {"name": device_id.upper()} if device_id == "a" else None

    async with fleet(DeviceSettings(DeviceOptions(unknown="quarantine"), lookup=lookup)) as the:
        first = await the.connect({"id": "a"})
        await the.heard(1)
        assert the.gateway.device("a").tags == {"name": "A"}
        first.close()
        await the.status("a", "offline")
        await the.connect({"id": "a"})
        await the.heard(2)
        await the.connect({"id": "b"})
        await the.status("b", "quarantined")
        assert asked == ["a", "b"]


async def test_a_lookup_that_returns_no_tags_lets_nobody_in() -> None:
    """What is wrong is said with each message; a device that is half known would be let in with its second."""

    async def lookup(device_id: str) -> Any:
        return {"customer": 17}

    async with fleet(DeviceSettings(DeviceOptions(unknown="reject"), lookup=lookup)) as the:
        await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 2})
        await eventually(lambda: len(the.failed) == 2)
        assert "hold 17" in the.failed[0]
        assert the.seen == []
        assert len(the.gateway._running().devices.roster) == 0


async def test_a_lookup_that_fails_costs_the_message() -> None:
    """The device hears so, and is asked for again with its next message."""
    failures = [1]

    async def lookup(device_id: str) -> Mapping[str, str] | None:
        if failures:
            failures.pop()
            raise OSError("the database is away")
        return {}

    async with fleet(DeviceSettings(lookup=lookup), nack=lambda message, error: b"no %d" % message["n"]) as the:
        device = await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 2})
        assert await line(device) == b"no 1"
        await the.heard(1)
        assert [message["n"] for _, message in the.seen] == [2]
        assert the.failed == ["the database is away"]
        assert the.gateway.device("a").info.is_known


async def test_a_quarantined_device_that_leaves_stays_listed() -> None:
    """It can be approved while it is away; approving twice is no mistake."""
    async with fleet(unknown="quarantine") as the:
        device = await the.connect({"id": "a"})
        await the.status("a", "quarantined")
        device.close()
        await eventually(lambda: not the.gateway.device("a").connections)
        the.gateway.device("a").approve()
        the.gateway.device("a").approve()
        assert the.statuses("a") == ["offline"]
        with pytest.raises(DeviceUnknown):
            the.gateway._running().devices.approve("b")  # type: ignore[arg-type]


async def test_the_device_that_is_away_longest_gives_way() -> None:
    """Nothing of it is left; a device that cannot be remembered is refused."""
    async with fleet(DeviceSettings(DeviceOptions(max_devices=1))) as the:
        first = await the.connect({"id": "a"})
        await the.heard(1)
        await the.connect({"id": "b"})
        await the.ended(1)
        first.close()
        await the.status("a", "offline")
        await the.connect({"id": "b"})
        await the.heard(2)
        with pytest.raises(DeviceUnknown):
            the.gateway.device("a")


async def test_a_forgotten_device_is_a_new_one_when_it_speaks_again() -> None:
    """Its connection goes on."""
    async with fleet() as the:
        socket = await the.connect({"id": "a"}, {"id": "b"}, {"id": "a"})
        await the.heard(3)
        device = the.gateway.device("a")
        the.gateway.device("b").forget()
        device.forget()
        with pytest.raises(DeviceUnknown):
            the.gateway.device("a")
        with pytest.raises(DeviceUnknown):
            _ = device.info
        await say(socket, {"id": "a"})
        await the.heard(4)
        assert the.gateway.device("a") is not device
        assert the.gateway.device("a").info.attached == 1


async def test_closing_a_device_closes_its_own_connections() -> None:
    """Not one on which others speak."""
    async with fleet() as the:
        await the.connect({"id": "a"}, {"id": "b"})
        await the.connect({"id": "c"})
        await the.heard(3)
        the.gateway.device("a").close()
        the.gateway.device("c").close()
        (end,) = await the.ended(1)
        assert end.reason == "closed"
        await turns()
        assert the.gateway.device("a").is_online


async def test_a_rejected_device_leaves_a_connection_open_on_which_others_speak() -> None:
    """It costs its message."""
    settings = DeviceSettings(DeviceOptions(unknown="reject"), known={"a": {}})
    async with fleet(settings) as the:
        await the.connect({"id": "a"}, {"id": "b"}, {"id": "a"})
        await the.heard(2)
        assert [one.reason for one in the.of(DeviceRejected)] == ["unknown"]


async def test_a_connection_that_was_replaced_meanwhile_is_not_attached_again() -> None:
    """It waited for the application's answer while its device connected anew."""
    gates = {1: asyncio.Event(), 2: asyncio.Event()}
    calls: list[int] = []

    async def lookup(device_id: str) -> Mapping[str, str] | None:
        if device_id != "a":
            return None
        calls.append(len(calls) + 1)
        await gates[calls[-1]].wait()
        return None

    async with fleet(DeviceSettings(lookup=lookup)) as the:
        await the.connect({"id": "z"}, {"id": "a"})
        await eventually(lambda: calls == [1])
        await the.connect({"id": "z"}, {"id": "a"})
        await eventually(lambda: calls == [1, 2])
        gates[2].set()
        await the.heard(3)
        (living,) = the.gateway.device("a").connections
        gates[1].set()
        await the.ended(1)
        assert the.gateway.device("a").connections == (living,)


@pytest.mark.row(16)
@pytest.mark.parametrize("takeover", ["allow", "replace"])
async def test_a_device_has_its_rates_once(takeover: str) -> None:
    """A second connection, or a new one, brings no second budget; another device has its own."""
    async with fleet(takeover=takeover, message_rate=0.1) as the:
        await the.connect(*({"id": "a"} for _ in range(5)))
        await the.heard(5)
        await the.connect({"id": "b"})
        await the.connect({"id": "a"})
        await the.heard(7)
        (other,) = the.gateway.device("b").connections
        newest = the.gateway.device("a").connections[-1]
        assert other.throttle is not newest.throttle
        assert newest.throttle is not None
        now = asyncio.get_running_loop().time()
        assert newest.throttle.charge(5, 0, now) > 60, "what the first connection said counts"


async def test_without_rates_there_is_nothing_to_share() -> None:
    """Nothing is counted on any of them."""
    async with fleet(takeover="allow") as the:
        for _ in range(2):
            await the.connect({"id": "a"})
        await the.heard(2)
        assert [one.throttle for one in the.gateway.device("a").connections] == [None, None]
