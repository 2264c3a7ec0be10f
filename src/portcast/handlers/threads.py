"""Calling a function in a worker thread, in a way that survives cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool

P = ParamSpec("P")
R = TypeVar("R")


async def run_in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in the thread pool that FastAPI uses for sync functions (40 threads) and return its result.

    Context variables are copied to the thread. A thread cannot be interrupted: a cancellation waits until the
    function has ended, so that nothing it holds is closed under its feet, and then continues; the result is lost.

    Raises:
        Exception: whatever the function raised.
    """
    task = asyncio.ensure_future(run_in_threadpool(function, *args, **kwargs))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # seen, so that the loop does not report it as forgotten
    try:
        raise cancelled
    finally:
        del cancelled  # its traceback holds this frame
