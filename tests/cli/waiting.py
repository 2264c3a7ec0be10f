"""Waiting for conditions, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LIMIT_S = 8.0


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; raise `TimeoutError` after a while."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
