"""Waiting without sleeping: for a condition that somebody else's step makes true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portcast.runtime import Node

TIMEOUT_S = 5.0
"""How long a test waits for what should come at once; only a failing test waits so long."""
QUIET_S = 0.25
"""How long `settle` waits for handlers that are busy with something else than this test."""
TURNS = 4
"""Turns of the loop without anything to do that count as quiet: more than any chain of callbacks between a frame and
its publication needs."""


class Changes:
    """Wakes whoever waits for something to change. Lives on one loop."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def tell(self) -> None:
        """Say that something has changed."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], object], timeout_s: float) -> bool:
        """Wait until ``condition()`` is true; return False if that took too long. Cancelling leaves nothing behind."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not condition():
            left = deadline - loop.time()
            if left <= 0:
                return False
            waiter = loop.create_future()
            self._waiters.append(waiter)
            await asyncio.wait([waiter], timeout=left)
        return True


async def eventually(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> bool:
    """Wait until ``condition()`` is true, letting the loop work; return False if that took too long.

    For what nobody tells of; see `Changes` for the rest.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    turns = 0
    while not condition():
        if loop.time() >= deadline:
            return False
        turns += 1
        # What needs no time is through after some turns of the loop.
        await asyncio.sleep(0 if turns < 100 else 0.001)
    return True


async def settle(node: Node, within_s: float = QUIET_S) -> bool:
    """Let handlers finish what they have received, then flush what they have published.

    Returns:
        False if a handler was still busy after ``within_s`` real seconds, as one that sleeps, or that waits for a slow
        subscriber; what has been published until then is flushed all the same.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    quiet = turns = 0
    while quiet < TURNS and loop.time() < deadline:
        quiet = 0 if _is_busy(node) else quiet + 1
        turns += 1
        # Most handlers are through after some turns; one that is not waits for something that takes time.
        await asyncio.sleep(0 if turns < 100 else 0.001)
    node.hub.flush()
    return quiet >= TURNS


def _is_busy(node: Node) -> bool:
    return any(one.is_busy or (one.is_closing and not one.is_handled) for one in node.registry)
