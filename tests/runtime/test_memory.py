from __future__ import annotations

import asyncio
from math import inf
from types import SimpleNamespace
from typing import cast

import pytest

from manual_clock import ManualClock
from portcast.events import MemoryRecovered, MemoryShort
from portcast.runtime import Connection, FlightRecorder, Registry
from portcast.runtime.memory import BufferedBytes, MemoryGuard, buffered_bytes
from portcast.runtime.memory_limit import MemoryLimit, MemoryUse
from portcast.runtime.registry import Allowance
from runtime_kit import (
    Events,
    FakeEncoding,
    FakeHandler,
    FakeSink,
    eventually,
    handling,
    make_broker,
    make_hub,
    serving,
    subscribe,
    turns,
)

MIB = 1 << 20


class Guarded:
    """A guard over memory that the test sets."""

    def __init__(self, limit: int = 100 * MIB) -> None:
        self.clock = ManualClock()
        self.events = Events()
        self.used = 10 * MIB
        self.paused: list[bool] = []
        self.looks = self.trims = 0
        self.allowance = Allowance()
        self.guard = MemoryGuard(
            MemoryLimit(limit, "option"),
            self.clock,
            pause=self.paused.append,
            allowance=self.allowance,
            buffered=lambda: BufferedBytes(frames=3, history=4),
            emit=self.events,
            use=self._use,
            trim=self._trim,
        )
        self.guard.start()

    def _use(self) -> MemoryUse:
        self.looks += 1
        return MemoryUse(self.used, 2 * self.used)

    def _trim(self) -> None:
        self.trims += 1

    def uses(self, mib: int) -> None:
        """Let the process use so much, and time pass."""
        self.used = mib * MIB
        self.clock.advance(1.0)


def test_pauses_above_the_limit_and_not_before_it_is_well_below() -> None:
    """One event at each change, whatever the memory does in between."""
    it = Guarded()
    it.uses(100)
    assert not it.guard.is_short
    for mib in (101, 150, 99, 91):
        it.uses(mib)
        assert it.guard.is_short
    it.uses(89)
    assert not it.guard.is_short
    assert it.paused == [True, False]
    assert it.events.of(MemoryShort) == [MemoryShort(101 * MIB, 100 * MIB, 7)]
    (recovered,) = it.events.of(MemoryRecovered)
    assert (recovered.used_bytes, recovered.buffered_bytes) == (89 * MIB, 7)
    assert recovered.seconds == pytest.approx(4.0, abs=0.1)
    seen = it.guard.statistics()
    assert (seen.is_short, seen.times_short, seen.buffered.total) == (False, 1, 7)


def test_looks_more_often_the_less_there_is() -> None:
    """Once a second with a gigabyte left, and at most fifty times."""
    it = Guarded(limit=2000 * MIB)
    it.looks = 0
    it.clock.advance(5.0)
    assert it.looks == 5
    it.uses(1999)
    it.looks = 0
    it.clock.advance(1.0)
    assert 45 <= it.looks <= 51


def test_what_devices_send_makes_it_look() -> None:
    """A loop may read hundreds of megabytes before a timer runs."""
    it = Guarded()
    assert it.allowance.left == 90 * MIB // 32
    it.used = 101 * MIB
    it.allowance.spent()
    assert it.paused == [True]
    assert it.allowance.left == 262_144
    assert it.clock.timers == 1


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["recovered", "stopped"])
async def test_who_waits_goes_on_when_there_is_enough(end: str) -> None:
    """At once if there is enough, and at the latest when nobody looks any more."""
    it = Guarded()
    await it.guard.wait_enough()
    it.uses(101)
    waiting = asyncio.ensure_future(it.guard.wait_enough())
    await turns()
    assert not waiting.done()
    if end == "stopped":
        it.guard.stop()
    else:
        it.uses(80)
    await turns()
    assert waiting.done()


def test_gives_free_memory_back_while_it_is_short() -> None:
    """Once a second, and never while there is enough."""
    it = Guarded()
    it.clock.advance(10)
    assert it.trims == 0
    it.uses(101)
    before = it.trims
    it.clock.advance(5.0)
    assert it.trims - before == pytest.approx(5, abs=1)


def test_a_look_that_fails_is_followed_by_others() -> None:
    """Without a descriptor the file can't be read."""
    it = Guarded()
    it.uses(101)
    it.uses(0)
    assert it.guard.is_short
    it.uses(50)
    assert not it.guard.is_short


def test_stops() -> None:
    it = Guarded()
    it.guard.stop()
    it.guard.stop()
    it.looks = 0
    it.uses(200)
    assert (it.looks, it.paused, it.allowance.left) == (0, [], inf)
    it.allowance.spent()
    assert it.paused == []


def test_without_a_limit_nobody_looks() -> None:
    it = Guarded(limit=0)
    assert (it.clock.timers, it.allowance.left) == (0, inf)
    it.guard.stop()


@pytest.mark.anyio
async def test_the_account_says_where_bytes_wait() -> None:
    """Frames that wait for a handler, half of one, what a device and a client do not take, and history."""
    loop = asyncio.get_running_loop()

    async def never(frame: bytes, connection: Connection) -> None:
        await asyncio.Event().wait()

    broker, handler = make_broker(), FakeHandler(never)
    hub = make_hub(loop, broker=broker)
    broker.bind(hub.deliver)
    recorder = SimpleNamespace(log=SimpleNamespace(bytes=11))

    def account(registry: Registry) -> BufferedBytes:
        return buffered_bytes(registry, hub, broker, cast("FlightRecorder", recorder))

    async with serving(handling(handler), write_buffer_bytes=1024) as it:
        device, connection = await it.connected(receive_buffer=4096)
        await device.send(b"first\nsecond\nhalf")
        await eventually(lambda: account(it.registry).frames == len(b"secondhalf"), "frames do not wait")
        while connection.send_nowait(b"x" * 65_536):
            pass
        assert account(it.registry).devices > 1024
        connection.abort("aborted")
    encoding = FakeEncoding()
    for sink in (FakeSink(), FakeSink()):
        subscribe(hub, sink, "#", encoding=encoding)
    broker.publish_nowait("t", (b"12345",), loop.time())
    assert account(it.registry).clients == 5
    hub.flush()
    seen = account(it.registry)
    assert (seen.clients, seen.recorder) == (5, 11), "once, though two wait for it"
    assert seen.history == broker.retained_bytes() > 5
    assert seen.total == 5 + 11 + seen.history
    hub.abort()
