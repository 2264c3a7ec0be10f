from __future__ import annotations

import asyncio

import pytest

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
