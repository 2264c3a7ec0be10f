"""The manual clock keeps the order of a loop, by itself and inside one."""

from __future__ import annotations

import asyncio

import pytest

from portcast.runtime.clock import Clock
from portcast.testing import ManualClock
from portcast.testing.clock import ticking


def test_the_manual_clock_keeps_the_order_of_a_loop() -> None:
    """Callbacks of a tick first, then timers, each at its own time; what a callback calls for comes a tick later."""
    manual = ManualClock(now=10.0)
    clock: Clock = manual
    order: list[object] = []
    clock.call_at(12.0, lambda: order.append(("b", clock.time())))

    def first() -> None:
        order.append(("a", clock.time()))
        clock.call_soon(lambda: order.append("after a"))

    clock.call_at(11.0, first)
    clock.call_at(11.5, lambda: order.append("never")).cancel()
    clock.call_at(99.0, lambda: order.append("not yet"))
    clock.call_soon(lambda: order.append("soon"))
    manual.advance(5.0)
    assert order == ["soon", ("a", 11.0), "after a", ("b", 12.0)]
    assert (manual.time(), manual.timers) == (15.0, 1)


def test_the_manual_clock_shows_a_callback_that_never_ends() -> None:
    """A test fails rather than hangs."""
    manual = ManualClock()

    def again() -> None:
        manual.call_soon(again)

    again()
    with pytest.raises(AssertionError, match="without end"):
        manual.settle()


@pytest.mark.anyio
async def test_inside_a_loop_ticks_are_the_loops() -> None:
    """Only what waits for a time waits for the test."""
    manual = ManualClock(now=10.0)
    clock: Clock = ticking(manual)
    order: list[object] = []
    clock.call_at(12.0, lambda: order.append(("timer", clock.time())))
    clock.call_at(11.0, lambda: order.append("never")).cancel()
    clock.call_soon(lambda: order.append("soon"))
    clock.call_soon(lambda: order.append("never")).cancel()
    await asyncio.sleep(0)
    assert order == ["soon"]
    manual.advance(5.0)
    assert order == ["soon", ("timer", 12.0)]
