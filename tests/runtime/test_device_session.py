from __future__ import annotations

import asyncio
from typing import Any

import pytest

from device_kit import LOCAL, fleet, id_of, line, say
from gateway_serving import running
from portcast import Connection, Device, Gateway, one_at_a_time
from portcast.devices import DeviceStatus
from portcast.events import Event
from portcast.runtime import DeviceProtocol
from portcast.runtime.device_session import DeviceHandler
from runtime_kit import Device as Socket
from runtime_kit import FakeHandler, eventually, turns

pytestmark = pytest.mark.anyio


# Who speaks


async def test_a_message_belongs_to_the_device_that_it_names() -> None:
    """Also if another device spoke on the same connection before."""
    async with fleet() as the:
        await the.connect({"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "a", "n": 3})
        await the.heard(3)
        assert [device for device, _ in the.seen] == ["a", "b", "a"]
        assert len(the.gateway.device("a").connections) == 1


@pytest.mark.parametrize(("identity", "owner"), [("message", None), ("connection", "a")])
async def test_a_message_that_names_nobody(identity: str, owner: str | None) -> None:
    """It is nobody's, unless the protocol has a login."""
    async with fleet(identity=identity) as the:
        await the.connect({"n": 0}, {"id": "a"}, {"n": 1}, {"n": 2})
        await the.heard(4)
        assert [device for device, _ in the.seen] == [None, "a", owner, owner]


async def test_a_second_login_moves_the_connection_to_another_device() -> None:
    """With a login the connection is one device's at a time; data of the second is never stored as the first's."""
    async with fleet(identity="connection") as the:
        await the.connect({"id": "a"}, {"id": "b"}, {"n": 1})
        await the.heard(3)
        assert [device for device, _ in the.seen] == ["a", "b", "b"]
        await the.status("a", "offline")
        await the.status("b", "online")


@pytest.mark.parametrize("bad", ["a/b", "+", "#", "", "x" * 10_000, "a\x00b"])
async def test_an_id_that_is_none_costs_its_message(bad: str) -> None:
    """The connection goes on, and nothing is known of such a device."""
    async with fleet() as the:
        await the.connect({"id": bad}, {"id": "good"})
        await the.heard(1)
        assert [device for device, _ in the.seen] == ["good"]
        assert len(the.failed) == 1
        assert "device id" in the.failed[0]
        assert len(the.gateway._running().devices.roster) == 1


async def test_a_handler_that_asks_for_a_device_gets_no_message_without_one() -> None:
    """`device: Device` is never None; in dependencies as in handlers."""
    events: list[Event] = []
    gateway = Gateway(on_event=events.append)
    seen: list[tuple[Device, int]] = []

    @gateway.listen(LOCAL, identity="connection")
    async def on_message(message: dict[str, Any], device: Device) -> None:
        seen.append((device, message["n"]))

    @gateway.identify(on_message)
    def who(message: dict[str, Any]) -> str | None:
        return id_of(message)

    async with running(gateway):
        socket = await Socket.connect(gateway.listeners[0].address)
        await say(socket, {"n": 1}, {"n": 2, "id": "a"}, {"n": 3})
        await eventually(lambda: len(seen) == 2)
        assert seen == [(gateway.device("a"), 2), (gateway.device("a"), 3)]
        assert any("names no device, and" in getattr(event, "detail", "") for event in events)
        socket.close()


async def test_what_came_is_counted() -> None:
    """Messages and bytes, by device."""
    async with fleet() as the:
        await the.connect({"id": "a"}, {"id": "a"})
        await the.heard(2)
        info = the.gateway.device("a").info
        assert (info.frames, info.payload_bytes) == (2, 2 * len('{"id": "a"}'))


async def test_messages_of_a_quarantined_device_go_nowhere_until_it_is_approved() -> None:
    """They are counted; the connection stays."""
    async with fleet(unknown="quarantine") as the:
        device = await the.connect({"id": "a", "n": 1})
        await the.status("a", "quarantined")
        directory = the.gateway._running().devices
        await eventually(lambda: directory.dropped == 1)
        assert not the.seen
        the.gateway.device("a").approve()
        assert the.statuses("a") == ["online"]
        await say(device, {"id": "a", "n": 2})
        await the.heard(1)
        assert the.gateway.device("a").status is DeviceStatus.ONLINE


async def test_messages_of_a_rejected_device_go_nowhere() -> None:
    """And its connection is closed."""
    async with fleet(unknown="reject") as the:
        await the.connect({"id": "a"})
        (end,) = await the.ended(1)
        assert (end.reason, end.detail) == ("rejected", "device a: unknown")
        assert not the.seen


# What it is told


async def test_the_acknowledgement_follows_the_handler_and_carries_its_result() -> None:
    """Never before: what the server lost, the device still has."""
    gate = asyncio.Event()

    async def work(message: dict[str, Any], connection: Connection) -> object:
        await gate.wait()
        return message["n"] * 10

    async with fleet(work=work, ack=lambda message, result: b"ok %d" % result) as the:
        device = await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 2})
        await the.heard(1)
        await turns(20)
        (connection,) = the.gateway.device("a").connections
        assert connection.bytes_sent == 0
        gate.set()
        assert [await line(device), await line(device)] == [b"ok 10", b"ok 20"]


@pytest.mark.parametrize(("nack", "heard"), [(True, b"no ValueError"), (False, b"yes 2")])
async def test_a_failed_handler_says_no_or_nothing(nack: bool, heard: bytes) -> None:
    """And the error is reported all the same."""

    async def work(message: dict[str, Any], connection: Connection) -> object:
        if message["n"] == 1:
            raise ValueError("full")
        return None

    def no(message: dict[str, Any], error: Exception) -> bytes | None:
        return b"no " + type(error).__name__.encode() if nack else None

    async with fleet(work=work, ack=lambda message, _: b"yes %d" % message["n"], nack=no) as the:
        device = await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 2})
        assert await line(device) == heard
        assert the.failed == ["full"]


@pytest.mark.row(22)
async def test_a_message_out_of_time_is_refused_like_one_that_failed() -> None:
    """The device hears at once that it must send it again, and the next message is handled."""

    async def work(message: dict[str, Any], connection: Connection) -> object:
        if message["n"] == 1:
            await asyncio.sleep(60)
        return None

    async with fleet(
        work=work,
        handler_timeout=0.02,
        ack=lambda message, _: b"yes %d" % message["n"],
        nack=lambda message, error: b"no %d %s" % (message["n"], type(error).__name__.encode()),
    ) as the:
        device = await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 2})
        assert [await line(device), await line(device)] == [b"no 1 TimeoutError", b"yes 2"]
        (problem,) = the.failed
        assert problem.endswith("on_message took longer than handler_timeout=0.02 s")


async def test_acknowledgements_need_no_identity() -> None:
    """`ack=` alone is enough, and may return None to send nothing."""
    async with fleet(identify=None, ack=lambda message, _: b"ok" if message["n"] == 2 else None) as the:
        device = await the.connect({"n": 1}, {"n": 2})
        assert await line(device) == b"ok"
        assert [owner for owner, _ in the.seen] == [None, None]


async def test_a_redelivered_message_is_acknowledged_again_and_not_handled() -> None:
    """Also on another connection; one that failed is handled again, one without a key always."""
    failures = [1]

    async def work(message: dict[str, Any], connection: Connection) -> object:
        if message["n"] == 2 and failures:
            failures.pop()
            raise ValueError("full")
        return None

    async with fleet(
        work=work, ack=lambda message, result: b"ok %d" % message["n"], redelivery_key=lambda m: m["n"] or None
    ) as the:
        device = await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 1}, {"id": "b", "n": 1})
        assert [await line(device) for _ in range(3)] == [b"ok 1", b"ok 1", b"ok 1"]
        again = await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 2}, {"id": "a", "n": 2}, {"id": "a", "n": 0})
        assert [await line(again) for _ in range(3)] == [b"ok 1", b"ok 2", b"ok 0"]
        await say(again, {"id": "a", "n": 0})
        assert await line(again) == b"ok 0"
        handled = [(owner, message["n"]) for owner, message in the.seen]
        assert handled == [("a", 1), ("b", 1), ("a", 2), ("a", 2), ("a", 0), ("a", 0)]


async def test_a_message_that_comes_again_while_it_is_handled_is_left_alone() -> None:
    """A device that lost its network sends on a new connection what the old one is still handling."""
    gate = asyncio.Event()

    async def work(message: dict[str, Any], connection: Connection) -> object:
        await gate.wait()
        return None

    async with fleet(work=work, ack=lambda m, r: b"ok %d" % m["n"], redelivery_key=lambda m: m["n"]) as the:
        await the.connect({"id": "a", "n": 1})
        await the.heard(1)
        again = await the.connect({"id": "a", "n": 1}, {"id": "a", "n": 2})
        await the.heard(2)
        gate.set()
        assert await line(again) == b"ok 2"
        await say(again, {"id": "a", "n": 1})
        assert await line(again) == b"ok 1"
        assert [message["n"] for _, message in the.seen] == [1, 2]


async def test_a_device_that_left_gets_no_acknowledgement() -> None:
    """Its message is handled, and nothing fails."""
    gate = asyncio.Event()

    async def work(message: dict[str, Any], connection: Connection) -> object:
        await gate.wait()
        return None

    async with fleet(work=work, ack=lambda message, result: b"ok") as the:
        device = await the.connect({"id": "a", "n": 1})
        await the.heard(1)
        device.reset()
        await the.status("a", "offline")
        gate.set()
        await the.ended(1)
        assert not the.failed


async def test_an_acknowledgement_waits_for_a_device_that_does_not_read() -> None:
    """As any other sending from a handler."""
    async with fleet(ack=lambda message, result: b"x" * 60_000, write_buffer_bytes=1024) as the:
        await the.connect(*({"id": "a", "n": n} for n in range(400)))
        await the.heard(1)
        await eventually(lambda: the.gateway.device("a").connections[0]._waits_for_device_since is not None)
        assert len(the.seen) < 400


async def test_the_session_of_a_per_connection_handler_is_passed_through() -> None:
    """The gateway refuses this combination; the runtime does not care."""
    ran: list[object] = []

    async def run(connection: object) -> None:
        ran.append(connection)

    handler = DeviceHandler(FakeHandler(run=run), DeviceProtocol(), None, needs_device=False)  # type: ignore[arg-type]
    connection: Any = object()
    await handler.session(connection).run()
    assert ran == [connection]
    assert handler.is_per_connection


# Who connects


async def test_a_message_may_be_identified_with_its_connection() -> None:
    """By an address, a certificate or a header together with what the message says."""
    async with fleet(identify=lambda message, connection: f"{connection.host} {message['n']}") as the:
        await the.connect({"n": 1}, {"n": 2})
        await the.heard(2)
        assert [device for device, _ in the.seen] == ["127.0.0.1 1", "127.0.0.1 2"]


async def test_a_connection_may_say_by_itself_who_the_device_is() -> None:
    """It is there before it has said anything, can be commanded, and all that it says is its own."""

    def by_address(connection: Connection) -> str | None:
        return connection.host

    async with fleet(identify=by_address) as the:
        socket = await the.connect()
        await the.status("127.0.0.1", "online")
        await the.gateway.device("127.0.0.1").send("hello")
        assert await line(socket) == b"hello"
        await say(socket, {"id": "other"})
        await the.heard(1)
        assert the.seen == [("127.0.0.1", {"id": "other"})]
        socket.close()
        await the.status("127.0.0.1", "offline")


async def test_a_connection_that_is_nobodys() -> None:
    """Its messages are handled, and are nobody's."""

    def nobody(connection: Connection) -> str | None:
        return None

    async with fleet(identify=nobody) as the:
        await the.connect({"n": 1})
        await the.heard(1)
        assert the.seen == [(None, {"n": 1})]


@pytest.mark.parametrize(("device_id", "unknown"), [("a/b", "accept"), ("a", "reject")])
async def test_a_connection_whose_device_is_refused_is_closed(device_id: str, unknown: str) -> None:
    """At once, and nothing of it is handled."""

    def who(connection: Connection) -> str | None:
        return device_id

    async with fleet(identify=who, unknown=unknown) as the:
        await the.connect({"n": 1})
        (end,) = await the.ended(1)
        assert end.reason == "rejected"
        assert device_id in end.detail
        assert the.seen == []


async def test_two_connections_from_one_address_are_one_device() -> None:
    """The newer takes the place of the older."""

    def by_address(connection: Connection) -> str | None:
        return connection.host

    async with fleet(identify=by_address) as the:
        await the.connect()
        await the.status("127.0.0.1", "online")
        await the.connect({"n": 1})
        (end,) = await the.ended(1)
        assert end.reason == "replaced"
        await the.heard(1)
        assert len(the.gateway.device("127.0.0.1").connections) == 1


async def test_what_runs_at_connect_may_ask_the_device() -> None:
    """Its answer is taken although no message was handled yet."""
    gateway, answers = Gateway(), list[object]()

    def by_address(connection: Connection) -> str | None:
        return connection.host

    listener = gateway.listen(LOCAL, identify=by_address, replies=one_at_a_time())

    @listener
    async def on_message(message: dict[str, Any]) -> None: ...

    @listener.on_connect
    async def ask(connection: Connection) -> None:
        assert connection.device is not None
        await connection.device.send("welcome")

    @listener.on_disconnect
    def gone(connection: Connection, reason: str) -> None:
        answers.append(reason)

    async with running(gateway):
        socket = await Socket.connect(gateway.listeners[0].address)
        assert await line(socket) == b"welcome"
        request = asyncio.ensure_future(gateway.device("127.0.0.1").request("n"))
        assert await line(socket) == b"n"
        await say(socket, {"n": 1})
        assert await request == {"n": 1}
        socket.close()
        await eventually(lambda: answers == ["peer_closed"], "the end")
