"""Waiting ends with the condition, or in time."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from portcast import Connection, Gateway
from portcast.testing import Subscription, TestDevice, in_memory
from portcast.testing.waiting import Changes, eventually, settle

pytestmark = pytest.mark.anyio


async def test_changes_wake_whoever_waits() -> None:
    """All of them, and each looks again."""
    changes, done = Changes(), list[int]()

    async def wait(number: int) -> None:
        assert await changes.until(lambda: len(done) >= number, 5)
        done.append(number)

    waiting = [asyncio.ensure_future(wait(number)) for number in (2, 1, 0)]
    for _ in range(20):
        changes.tell()
        await asyncio.sleep(0)
    assert done == [0, 1, 2]
    assert all(one.done() for one in waiting)


async def test_changes_wait_no_longer_than_asked() -> None:
    """And a waiter that was cancelled is no trouble."""
    changes = Changes()
    assert not await changes.until(lambda: False, 0.02)
    assert await changes.until(lambda: True, 0)
    task = asyncio.ensure_future(changes.until(lambda: False, 5))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    changes.tell()


async def test_eventually() -> None:
    """At once, after a while, or not at all."""
    looks = count()
    assert await eventually(lambda: True)
    assert await eventually(lambda: next(looks) > 150)
    assert not await eventually(lambda: False, 0.01)


async def test_settling_lets_handlers_finish() -> None:
    """Those that take several turns, and what they publish reaches who subscribed."""
    gateway = Gateway()

    @gateway.listen("tcp://127.0.0.1:8001")
    async def on_line(line: str, connection: Connection) -> None:
        for _ in range(200):
            await asyncio.sleep(0)
        await gateway.publish("lines", line)

    async with in_memory(gateway), TestDevice(gateway) as device, Subscription(gateway) as live:
        await device.send(b"a\n")
        assert await settle(gateway.node)
        await live.expect("lines", "a")


async def test_settling_does_not_wait_for_ever() -> None:
    """A handler that sleeps is left to it."""
    gateway, may_go = Gateway(), asyncio.Event()

    @gateway.listen("tcp://127.0.0.1:8001")
    async def on_line(line: str) -> None:
        await may_go.wait()

    async with in_memory(gateway), TestDevice(gateway) as device:
        await device.send(b"a\n")
        assert not await settle(gateway.node, 0.02)
        may_go.set()
