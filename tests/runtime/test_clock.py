from __future__ import annotations

import asyncio

import pytest

from manual_clock import ManualClock
from portcast.runtime.clock import Clock

pytestmark = pytest.mark.anyio


async def test_a_running_loop_is_a_clock() -> None:
    """The runtime is given the loop itself; what tests use instead must ask for no more than loops have."""
    clock: Clock = asyncio.get_running_loop()
    order: list[str] = []
    done = asyncio.Event()

    def later() -> None:
        order.append("later")
        done.set()

    clock.call_at(clock.time() + 0.05, later)
    clock.call_soon(lambda: order.append("soon"))
    clock.call_soon(lambda: order.append("never")).cancel()
    await done.wait()
    assert order == ["soon", "later"]


async def test_the_manual_clock_keeps_the_order_of_a_loop() -> None:
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


async def test_the_manual_clock_shows_a_callback_that_never_ends() -> None:
    """A test fails rather than hangs."""
    manual = ManualClock()

    def again() -> None:
        manual.call_soon(again)

    again()
    with pytest.raises(AssertionError, match="without end"):
        manual.settle()
