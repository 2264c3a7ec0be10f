"""Tests of `portcast.runtime.flight_recorder`: who is recorded, whose the frames are, and what others notice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asgi_fakes import until
from portcast import (
    Connection,
    Device,
    DeviceOptions,
    DeviceSettings,
    Gateway,
    LineFraming,
    Position,
    RecorderOptions,
    RecorderSettings,
)
from portcast.errors import ConfigurationError
from portcast.events import Event, RecordingCapped, RecordingChanged, RedactionFailed
from portcast.recorder import MAX_RULES, Recorded
from portcast.runtime.tap import TappedDecoder
from portcast.testing import ManualClock, Subscription, TestDevice, in_memory

pytestmark = pytest.mark.anyio

LINES = LineFraming(max_frame=40)


def tracker_gateway(recorder: RecorderSettings | None = None, **options: Any) -> Gateway:
    """Trackers that log in with `#<id>` and are answered; concentrators whose lines are `<id> <text>`; a relay."""
    gateway = Gateway(recorder=recorder, **options)

    def login(line: str) -> str | None:
        if line == "bad":
            raise ValueError("never")
        return line[1:] if line.startswith("#") else None

    @gateway.listen(
        "tcp://127.0.0.1:9001",
        name="trackers",
        framing=LINES,
        identify=login,
        identity="connection",
        ack=lambda line, result: b"ok " + line.encode(),
    )
    async def on_line(line: str, connection: Connection) -> None: ...

    @gateway.listen("tcp://127.0.0.1:9002", name="meters", framing=LINES, identify=lambda line: line.split()[0])
    async def on_meter(line: str, device: Device) -> None: ...

    gateway.relay("tcp://127.0.0.1:9003", name="logs", framing=LINES, topic="logs", redact="in:4:8")
    return gateway


@asynccontextmanager
async def tracker(gateway: Gateway, *lines: str, listener: str = "trackers") -> AsyncIterator[TestDevice]:
    async with TestDevice(gateway, listener=listener) as device:
        for line in lines:
            await device.send(line.encode() + b"\n")
        if listener == "trackers":
            for line in lines:
                await device.expect(b"ok " + line.encode() + b"\n")
        yield device


def told(entries: Sequence[Recorded]) -> list[tuple[str, bytes]]:
    """Kind and bytes of the frames."""
    return [(one.kind, one.data) for one in entries if one.kind in ("in", "out", "refused")]


def tapped(gateway: Gateway) -> list[str]:
    """The connections whose decoder is wrapped, by their listeners."""
    return [one.listener for one in gateway.node.registry if isinstance(one._decoder, TappedDecoder)]


async def settled(gateway: Gateway) -> None:
    async with Subscription(gateway) as live:
        await live.nothing()


# What is recorded


async def test_a_device_is_recorded_in_both_directions() -> None:
    """From the moment somebody asks, without the framing's own bytes, with time, size and where it came from."""
    gateway = tracker_gateway()
    async with in_memory(gateway), tracker(gateway, "#a") as device:
        gateway.recorder.record("device:a")
        await device.send(b"grusse\n")
        await device.expect(b"ok grusse\n")
        entries = gateway.recorder.frames(device="a")
        assert told(entries) == [("in", b"grusse"), ("out", b"ok grusse")]
        connection = gateway.node.devices.find("a").connections[0]
        assert [(one.connection, one.listener, one.size) for one in entries] == [
            (connection.id, "trackers", 6),
            (connection.id, "trackers", 9),
        ]
        assert gateway.recorder.is_recording(device="a")
        assert gateway.recorder.is_recording(connection=connection.id)
        assert not gateway.recorder.is_recording(device="b")
        assert (gateway.recorder.means("a"), gateway.recorder.means("b")) == (True, False)


async def test_others_are_left_alone() -> None:
    """Connections that have said who they are, and those of listeners without devices: no tap, no wrapped decoder."""
    gateway = tracker_gateway()
    async with in_memory(gateway), tracker(gateway, "#b") as other, TestDevice(gateway, listener="logs") as log:
        gateway.recorder.record("device:a")
        assert tapped(gateway) == []
        await other.send(b"x\n")
        await other.expect(b"ok x\n")
        await log.send(b"x\n")
        async with TestDevice(gateway, listener="logs"):
            assert tapped(gateway) == []
        assert gateway.recorder.frames() == []
        assert all(one._tap is None for one in gateway.node.registry)


async def test_a_newcomer_is_recorded_from_its_first_byte() -> None:
    """The login is what one wants to see; one who turns out to be somebody else is forgotten and left alone."""
    gateway = tracker_gateway()
    async with in_memory(gateway), Subscription(gateway, "$recorder/#") as live:
        gateway.recorder.record("device:a")
        async with tracker(gateway, "#b") as other:
            await other.send(b"x\n")
            await other.expect(b"ok x\n")
            assert (gateway.recorder.frames(), tapped(gateway)) == ([], [])
            await live.nothing()
        async with tracker(gateway, "hello", "#a", "data"):
            entries = gateway.recorder.frames(device="a")
            assert [one.kind for one in entries] == ["opened", "in", "out", "in", "out", "in", "out"]
            assert entries[1].data == b"hello"
        await until(lambda: gateway.recorder.frames(device="a")[-1].kind == "closed", "the end")
        assert gateway.recorder.frames(device="a")[-1].detail == "peer_closed"
        assert [one.topic for one in await live.take(8)] == ["$recorder/devices/a"] * 8


async def test_who_never_says_who_it_is_is_dropped_at_the_end() -> None:
    """A rule for a device keeps nothing of strangers; one for a listener does."""
    gateway = tracker_gateway()
    async with in_memory(gateway):
        gateway.recorder.record("device:a")
        async with tracker(gateway, "hello") as device:
            connection = device.connection.id
            assert told(gateway.recorder.frames(connection=connection)) == [("in", b"hello"), ("out", b"ok hello")]
            assert not gateway.recorder.is_recording(connection=connection)
        await until(lambda: gateway.recorder.recorded_connections == 0, "the end")
        assert gateway.recorder.frames() == []
        gateway.recorder.record("listener:trackers")
        async with tracker(gateway, "hello") as device:
            connection = device.connection.id
        await until(lambda: gateway.recorder.recorded_connections == 0, "the end")
        kinds = [one.kind for one in gateway.recorder.frames(connection=connection)]
        assert kinds == ["opened", "in", "out", "closed"]


async def test_what_the_framing_refused_is_recorded() -> None:
    """The bytes, why, and how the connection ended: what one wants to see of a tracker that misbehaves."""
    gateway = tracker_gateway()
    async with in_memory(gateway):
        gateway.recorder.record("device:a")
        async with tracker(gateway, "#a") as device:
            await device.send(b"half ")
            await device.send(b"of a line that is longer than any that it may send\n")
            assert await device.wait_closed() == "oversize"
        *_, refused, closed = gateway.recorder.frames(device="a")
        assert (refused.kind, refused.size) == ("refused", 56)
        assert refused.data == b"half of a line that is longer than any that it may send\n"
        assert refused.detail.startswith("oversize frame: ")
        assert (closed.kind, closed.detail) == ("closed", f"oversize: {refused.detail}")


async def test_what_the_codec_refused_is_marked() -> None:
    """The frame is there as any other; what follows it says why it was not handled."""
    gateway = tracker_gateway()
    async with in_memory(gateway), tracker(gateway, "#a") as device:
        gateway.recorder.record("device:a")
        await device.send(b"\xff\n")
        await settled(gateway)
        frame, rejected = gateway.recorder.frames(device="a")
        assert (frame.kind, frame.data, rejected.kind) == ("in", b"\xff", "rejected")
        assert "utf-8" in rejected.detail


async def test_a_device_that_is_not_let_in_is_recorded() -> None:
    """What it said, and that it was rejected: there is no device whose frames these could be otherwise."""
    gateway = tracker_gateway(devices=DeviceSettings(DeviceOptions(unknown="reject")))
    async with in_memory(gateway):
        gateway.recorder.record("device:a")
        for name in ("#b\n", "#a\n"):
            async with TestDevice(gateway, listener="trackers") as device:
                await device.send(name.encode())
                assert await device.wait_closed() == "rejected"
        entries = gateway.recorder.frames()
        assert {one.subject for one in entries} == {"devices/a"}
        assert [one.kind for one in entries] == ["opened", "in", "closed"]
        assert entries[-1].detail == "rejected: device a: unknown"
        assert gateway.recorder.frames(device="a") == entries


# Whose it is


async def test_a_connection_has_its_frames_until_it_has_a_device() -> None:
    """Then they are the device's; the next connection of the device adds to them."""
    gateway = tracker_gateway(RecorderSettings(RecorderOptions(on=("listener:trackers",))))
    async with in_memory(gateway):
        async with tracker(gateway, "hello") as device:
            connection = device.connection.id
            assert told(gateway.recorder.frames(connection=connection)) == [("in", b"hello"), ("out", b"ok hello")]
            await device.send(b"#a\n")
            await device.expect(b"ok #a\n")
            assert gateway.recorder.frames(connection=connection) == []
            assert len(told(gateway.recorder.frames(device="a"))) == 4
        async with tracker(gateway, "#a"):
            entries = gateway.recorder.frames(device="a")
            assert [one.kind for one in entries].count("opened") == 2
            assert len({one.connection for one in entries}) == 2


async def test_a_connection_of_several_devices_has_the_frames() -> None:
    """Raw bytes do not say whose they are: each of the devices is shown what was recorded of the connection."""
    gateway = tracker_gateway()
    async with in_memory(gateway), tracker(gateway, "m1 1", "m2 1", listener="meters") as device:
        await settled(gateway)
        gateway.recorder.record("device:m2")
        await device.send(b"m2 2\nm1 2\n")
        await settled(gateway)
        connection = device.connection.id
        whole = [("in", b"m2 2"), ("in", b"m1 2")]
        assert told(gateway.recorder.frames(connection=connection)) == whole
        assert told(gateway.recorder.frames(device="m2")) == whole
        assert gateway.recorder.forget(device="m2") == 2
        assert gateway.recorder.frames() == []


async def test_the_second_device_of_a_connection_does_not_take_the_frames_of_the_first() -> None:
    """What was recorded while there was one stays that one's."""
    gateway = tracker_gateway()
    async with in_memory(gateway), tracker(gateway, "m1 1", listener="meters") as device:
        await settled(gateway)
        gateway.recorder.record("device:m1")
        await device.send(b"m1 2\n")
        await device.send(b"m2 1\n")
        await settled(gateway)
        await device.send(b"m2 2\n")
        await settled(gateway)
        assert told(gateway.recorder.frames(connection=device.connection.id)) == [("in", b"m2 2")]
        assert told(gateway.recorder.frames(device="m1")) == [("in", b"m1 2"), ("in", b"m2 1"), ("in", b"m2 2")]


async def test_a_connection_that_becomes_another_devices_is_judged_anew() -> None:
    """With a login: what follows is the other's, and is recorded only if that is meant."""
    gateway = tracker_gateway()
    async with in_memory(gateway), tracker(gateway, "#a") as device:
        gateway.recorder.record("device:a")
        for line in (b"1\n", b"#b\n", b"2\n", b"#a\n", b"3\n"):
            await device.send(line)
            await device.expect(b"ok " + line)
        assert [data for kind, data in told(gateway.recorder.frames()) if kind == "in"] == [b"1", b"#b", b"3"]
        assert gateway.recorder.frames(device="b") == []


# Rules come and go


async def test_recording_ends_when_it_is_told_or_in_time() -> None:
    """The rule, not what was recorded; each change is an event."""
    clock, events = ManualClock(), list[Event]()
    gateway = tracker_gateway(on_event=events.append)
    async with in_memory(gateway, clock=clock), tracker(gateway, "#a") as device:
        gateway.recorder.record("device:a", for_s=60)
        gateway.recorder.record("peer:nobody")
        assert [str(rule) for rule, _ in gateway.recorder.rules()] == ["device:a", "peer:nobody"]
        assert tapped(gateway) == ["trackers"]
        await device.send(b"1\n")
        await device.expect(b"ok 1\n")
        clock.advance(60)
        assert tapped(gateway) == []
        assert [str(rule) for rule, _ in gateway.recorder.rules()] == ["peer:nobody"]
        assert len(gateway.recorder.frames(device="a")) == 2
        gateway.recorder.record("device:a*")
        assert gateway.recorder.stop("device:a*")
        assert not gateway.recorder.stop("device:a*")
        assert tapped(gateway) == []
    changes = [(one.rule, one.reason) for one in events if isinstance(one, RecordingChanged)]
    assert changes == [
        ("device:a", "on"),
        ("peer:nobody", "on"),
        ("device:a", "expired"),
        ("device:a*", "on"),
        ("device:a*", "off"),
    ]


async def test_connections_on_trial_are_released_with_the_last_rule_for_devices() -> None:
    """And forgotten; one that another rule means meanwhile stays."""
    gateway = tracker_gateway()
    async with in_memory(gateway), tracker(gateway, "hello") as one, tracker(gateway, "hello"):
        gateway.recorder.record("device:a")
        gateway.recorder.record("device:b")
        gateway.recorder.stop("device:b")
        assert len(tapped(gateway)) == 2
        gateway.recorder.record(f"connection:{one.connection.id}")
        await one.send(b"x\n")
        await one.expect(b"ok x\n")
        gateway.recorder.stop("device:a")
        assert len(tapped(gateway)) == 1
        assert {entry.connection for entry in gateway.recorder.frames()} == {one.connection.id}
        gateway.recorder.record("device:a")
        gateway.recorder.stop(f"connection:{one.connection.id}")
        assert told(gateway.recorder.frames()) == [("in", b"x"), ("out", b"ok x")]


@pytest.mark.parametrize(
    ("rule", "for_s", "problem"),
    [
        ("boiler-1", None, "is no rule"),
        ("device:a/b", None, "it contains '/'"),
        ("device:a/*", None, "it contains '/'"),
        ("device:a", 0, "would last 0 s"),
        ("device:a", float("nan"), "would last nan s"),
        ("device:more", None, "100 rules hold already"),
    ],
)
async def test_rules_that_cannot_be(rule: str, for_s: float | None, problem: str) -> None:
    """They are refused with what is wrong, and change nothing."""
    gateway = tracker_gateway()
    async with in_memory(gateway):
        for number in range(MAX_RULES):
            gateway.recorder.record(f"peer:{number}")
        with pytest.raises(ConfigurationError, match=problem):
            gateway.recorder.record(rule, for_s=for_s)
        with pytest.raises(ConfigurationError, match="is no rule"):
            gateway.recorder.stop("boiler-1")
        assert len(gateway.recorder.rules()) == MAX_RULES


async def test_what_is_old_is_gone() -> None:
    """Without anybody asking: payloads are sensitive, and a silent device must not keep them in memory."""
    clock = ManualClock()
    gateway = tracker_gateway(RecorderSettings(RecorderOptions(on=("listener:*",), age_s=100)))
    async with in_memory(gateway, clock=clock), tracker(gateway, "#a"):
        assert len(gateway.recorder.log) == 3
        clock.advance(101)
        assert len(gateway.recorder.log) == 0
    assert gateway.is_running is False


async def test_it_ends_with_the_gateway() -> None:
    """No timer and no tap is left."""
    clock = ManualClock()
    gateway = tracker_gateway()
    async with in_memory(gateway, clock=clock):
        gateway.recorder.record("device:a", for_s=60)
        recorder = gateway.recorder
        async with tracker(gateway, "#a") as device:
            recorder.close()
            assert tapped(gateway) == []
            await device.send(b"x\n")
            await device.expect(b"ok x\n")
        assert len(recorder.frames(device="a")) == 3
    assert recorder.recorded_connections == 0
    assert clock.timers == 0
    with pytest.raises(RuntimeError, match="not running"):
        _ = gateway.recorder


# Live, bounded, redacted


async def test_frames_are_live_on_a_topic_of_their_own() -> None:
    """Beside those of the device, and not for whoever subscribes to everything."""
    gateway = tracker_gateway(RecorderSettings(RecorderOptions(on=("device:a",))))
    async with (
        in_memory(gateway),
        Subscription(gateway) as everything,
        Subscription(gateway, "$recorder/#") as live,
        tracker(gateway, "#a"),
    ):
        opened, come, gone = await live.take(3)
        assert {one.topic for one in (opened, come, gone)} == {"$recorder/devices/a"}
        assert b'"kind":"in","device":"a"' in come.data
        assert b'"text":"ok #a"' in gone.data
        await everything.nothing()


async def test_what_is_too_fast_is_counted() -> None:
    """The device is not slowed, the next entry says how many are missing, and an event names the connection once."""
    events: list[Event] = []
    clock = ManualClock()
    settings = RecorderSettings(RecorderOptions(on=("device:a",), max_rate=5))
    gateway = tracker_gateway(settings, on_event=events.append)
    async with in_memory(gateway, clock=clock), tracker(gateway, "#a") as device:
        await device.send(b"x\n" * 50)
        for _ in range(50):
            await device.expect(b"ok x\n")
        clock.advance(1)
        await device.send(b"last\n")
        await device.expect(b"ok last\n")
        entries = gateway.recorder.frames(device="a")
        (last,) = [one for one in entries if one.data == b"last"]
        assert last.skipped == 102 - 5
        info = gateway.recorder.log.info("devices/a")
        assert info is not None
        assert info.skipped == last.skipped
    assert [one.max_rate for one in events if isinstance(one, RecordingCapped)] == [5]


async def test_ranges_of_a_listener_are_not_recorded() -> None:
    """Nor is what could quote them: the sentence of an error, or bytes in which nobody knows where they are."""
    gateway = tracker_gateway(RecorderSettings(RecorderOptions(on=("listener:logs",))))
    async with in_memory(gateway), TestDevice(gateway, listener="logs") as device:
        await device.send(b"pin:1234;\n" + b"pin:5678" * 10)
        assert await device.wait_closed() == "oversize"
        opened, frame, refused, closed = gateway.recorder.frames(connection=device.connection.id)
        assert (frame.data, frame.size, frame.is_redacted) == (b"pin:****;", 9, True)
        assert (refused.data, refused.size, refused.is_redacted, refused.detail) == (b"", 90, True, "")
        assert (closed.detail, opened.detail) == ("oversize", device.connection.peer)


async def test_a_function_redacts_all_listeners() -> None:
    """One that fails lets nothing through, and is told of once for each connection."""
    events: list[Event] = []

    def redact(frame: bytes, kind: str, listener: str) -> bytes | None:
        if frame == b"boom":
            raise KeyError("boom")
        return frame.replace(b"secret", b"s") if kind == "in" else None

    settings = RecorderSettings(RecorderOptions(on=("listener:trackers",)), redact)
    gateway = tracker_gateway(settings, on_event=events.append)
    async with in_memory(gateway), tracker(gateway, "secret 1", "boom", "boom") as device:
        entries = gateway.recorder.frames(connection=device.connection.id)
        frames = [(one.data, one.size, one.is_redacted) for one in entries if one.kind == "in"]
        assert frames == [(b"s 1", 8, True), (b"", 4, True), (b"", 4, True)]
        assert {(one.data, one.is_redacted) for one in entries if one.kind == "out"} == {(b"", True)}
    failed = [one for one in events if isinstance(one, RedactionFailed)]
    assert [(one.listener, one.error) for one in failed] == [("trackers", "KeyError")]


async def test_a_broker_that_fails_costs_the_publication_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection has nothing to do with it; what was not published is counted, and recorded all the same."""
    gateway = tracker_gateway(RecorderSettings(RecorderOptions(on=("listener:trackers",))))
    async with in_memory(gateway), tracker(gateway) as device:
        broker = gateway.node.broker
        publish = broker.publish_nowait

        def failing(topic: str, payloads: Sequence[bytes], *rest: Any) -> Position:
            if topic.startswith("$recorder/"):
                raise ConnectionError
            return publish(topic, payloads, *rest)

        monkeypatch.setattr(broker, "publish_nowait", failing)
        await device.send(b"1\n")
        await device.expect(b"ok 1\n")
        assert gateway.recorder.unpublished == 2
        assert len(told(gateway.recorder.frames())) == 2


async def test_everything_can_be_forgotten() -> None:
    """At once; recording goes on."""
    gateway = tracker_gateway(RecorderSettings(RecorderOptions(on=("listener:*",))), devices=DeviceSettings())
    async with in_memory(gateway), tracker(gateway, "#a") as device, tracker(gateway, "x"):
        assert gateway.recorder.forget() == 6
        assert gateway.recorder.frames() == []
        await device.send(b"1\n")
        await device.expect(b"ok 1\n")
        assert len(gateway.recorder.frames(device="a")) == 2
