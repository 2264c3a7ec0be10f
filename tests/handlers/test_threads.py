from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from portcast.handlers.threads import run_in_thread

pytestmark = pytest.mark.anyio

label: ContextVar[str] = ContextVar("label")


async def test_runs_elsewhere_with_the_context() -> None:
    """The function runs in another thread and sees the context variables of its caller."""
    label.set("mine")

    def look(x: int, *, y: int) -> tuple[object, ...]:
        return x, y, label.get(), threading.get_ident()

    *seen, thread = await run_in_thread(look, 1, y=2)
    assert seen == [1, 2, "mine"]
    assert thread != threading.get_ident()


async def test_error_is_passed_on() -> None:
    """The caller sees what the function raised."""
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(lambda: 1 / 0)


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
async def test_cancellation_waits_for_the_thread(fails: bool) -> None:
    """Nothing that the thread uses may be closed under its feet, so cancellation continues only after its end."""
    started, release, log = threading.Event(), threading.Event(), list[str]()

    def block() -> None:
        started.set()
        release.wait()
        log.append("thread ended")
        if fails:
            raise ValueError

    task = asyncio.ensure_future(run_in_thread(block))
    await asyncio.get_running_loop().run_in_executor(None, started.wait)
    task.cancel()
    await asyncio.wait((task,), timeout=0)
    task.cancel()  # an impatient second one changes nothing
    await asyncio.wait((task,), timeout=0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["thread ended"]


async def test_everything_is_cancelled() -> None:
    """At the end of a loop all tasks are cancelled, ours too, and the thread is left to itself."""
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait()

    before = asyncio.all_tasks()
    task = asyncio.ensure_future(run_in_thread(block))
    await asyncio.get_running_loop().run_in_executor(None, started.wait)
    for one in asyncio.all_tasks() - before:
        one.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    release.set()
