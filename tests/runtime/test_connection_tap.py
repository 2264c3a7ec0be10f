"""Tests of `portcast.runtime.connection_tap` by itself; what it does for a gateway is in `test_flight_recorder`."""

from __future__ import annotations

import pytest

from portcast import RecorderOptions, RecorderSettings
from portcast.events import RedactionFailed
from portcast.recorder import Redaction, parse_range
from portcast.runtime.connection import Connection
from portcast.runtime.connection_tap import ConnectionTap
from portcast.runtime.flight_recorder import FlightRecorder
from portcast.testing import ManualClock
from portcast.types import DeviceId
from runtime_kit import Events, recording, serving

pytestmark = pytest.mark.anyio


class Kit:
    """A recorder and a connection, and what is published."""

    def __init__(self, connection: Connection) -> None:
        self.published: list[tuple[str, int]] = []
        self.events = Events()
        self.recorder = FlightRecorder(
            RecorderSettings(RecorderOptions(max_rate=2)),
            ManualClock(),
            registry=connection._listener._registry,
            devices_of=lambda connection_id: (),
            knows_devices=lambda name: True,
            publish=lambda topic, payloads: self.published.append((topic, len(payloads))),
            unix_time=lambda at: at,
            emit=self.events,
        )
        self.connection = connection

    def tap(self, *ranges: str) -> ConnectionTap:
        return ConnectionTap(self.recorder, self.connection, Redaction("l", [parse_range(one) for one in ranges]))


async def test_a_read_is_one_publication() -> None:
    """However many frames it holds; none of a connection on trial, and none where all were too fast."""
    async with serving(recording()) as it:
        _, connection = await it.connected()
        kit = Kit(connection)
        tap = kit.tap()
        tap.received([b"1", b"2", b"3"])
        tap.received([b"4"])
        topic = f"$recorder/connections/{connection.id}"
        assert kit.published == [(topic, 2)]
        assert len(kit.events.all) == 1
        tap.is_trial = True
        tap.happened("closed", "why")
        stranger = kit.tap()
        stranger.is_trial = True
        stranger.received([b"5"])
        assert len(kit.events.all) == 1  # nobody has asked for that one
        tap.refused(b"abc", 3, "bad")
        assert kit.published == [(topic, 2)]
        entries = kit.recorder.frames()
        assert [(one.kind, one.data, one.skipped) for one in entries[2:]] == [
            ("closed", b"", 2),
            ("refused", b"abc", 1),
        ]


async def test_whose_the_frames_are() -> None:
    """The one device's; the connection's while there is none, and once there are several."""
    async with serving(recording()) as it:
        _, connection = await it.connected()
        tap = Kit(connection).tap()
        own = f"connections/{connection.id}"
        assert (tap.subject, tap.was_shared) == (own, False)
        tap.speakers([DeviceId("a")])
        assert (tap.subject, tap.was_shared, tap.is_shared_by("a")) == ("devices/a", False, False)
        tap.speakers([DeviceId("a"), DeviceId("b")])
        assert (tap.subject, tap.was_shared, tap.is_shared_by("a")) == (own, True, True)
        assert not tap.is_shared_by("c")


async def test_what_is_sent_is_redacted() -> None:
    """Like what comes in."""
    async with serving(recording()) as it:
        _, connection = await it.connected()
        kit = Kit(connection)
        kit.tap("out:1:").sent(b"abc")
        assert [(one.kind, one.data, one.is_redacted) for one in kit.recorder.frames()] == [("out", b"a**", True)]


async def test_without_the_word_of_the_function_nothing_is_recorded() -> None:
    """But the size; told once for the connection, without what the exception quotes."""

    def function(data: bytes, kind: str, listener: str) -> bytes | None:
        raise LookupError(data)

    async with serving(recording()) as it:
        _, connection = await it.connected()
        kit = Kit(connection)
        tap = ConnectionTap(kit.recorder, connection, Redaction("l", [], function))
        tap.received([b"secret"])
        tap.refused(b"secret", 6, "it began with secret")
        assert [(one.data, one.size, one.detail) for one in kit.recorder.frames()] == [(b"", 6, "")] * 2
        (event,) = kit.events.of(RedactionFailed)
        assert event.error == "LookupError"
