from __future__ import annotations

import asyncio
import threading
import time

import pytest

from portcast.events import LoopBlocked
from portcast.runtime.watchdog import BEAT_S, Watchdog
from runtime_kit import Events, eventually

pytestmark = pytest.mark.anyio


def block(seconds: float) -> None:
    """Do what a handler must not."""
    time.sleep(seconds)  # that is the point


class Reports(Events):
    """Keeps events, and when and where each came."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []
        self.threads: list[str] = []

    def __call__(self, event: object) -> None:
        super().__call__(event)  # type: ignore[arg-type]  # an event
        self.at.append(time.monotonic())
        self.threads.append(threading.current_thread().name)


@pytest.mark.row(22)
async def test_a_blocked_loop_is_reported_while_it_is_blocked() -> None:
    """Within a second, with the stack and the task's handler, once per block; the loop hears of it afterwards."""
    reports, events = Reports(), Events()
    watchdog = Watchdog(0.3, report=reports, emit=events, handler_of=lambda task: f"for {task.get_name()}")
    watchdog.start()
    try:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("on_reading")
        began = time.monotonic()
        block(1.5)
        (event,) = reports.of(LoopBlocked)
        assert reports.at[0] - began < 1.0
        assert reports.threads == ["portcast-watchdog"]
        assert event.handler == "for on_reading"
        assert "block (runtime/test_watchdog.py:" in event.stack
        assert 0.3 <= event.seconds < 1.0
        assert not events.all
        await eventually(lambda: events.of(LoopBlocked) == [event])
        await eventually(lambda: watchdog.statistics().worst_lag_s > 1.0)
        assert watchdog.statistics().blocked == 1
        await eventually(lambda: watchdog.statistics().lag_s < 0.2)
    finally:
        watchdog.stop()


async def test_a_loop_that_runs_is_not_reported() -> None:
    """Blocks below the limit, and waiting, are nobody's fault."""
    reports = Reports()
    watchdog = Watchdog(0.5, report=reports, emit=reports)
    watchdog.start()
    try:
        for _ in range(4):
            block(0.1)
            await asyncio.sleep(BEAT_S / 2)
        assert not reports.all
    finally:
        watchdog.stop()


async def test_outside_of_tasks_nobody_is_named() -> None:
    """A callback blocks as well as a task; the stack says what it is."""
    reports = Reports()
    watchdog = Watchdog(0.2, report=reports, emit=lambda event: None)
    watchdog.start()
    try:
        asyncio.get_running_loop().call_soon(block, 0.9)
        await eventually(lambda: reports.all)
        (event,) = reports.of(LoopBlocked)
        assert event.handler == ""
        assert "block (" in event.stack
    finally:
        watchdog.stop()


async def test_it_can_be_switched_off() -> None:
    """Without a limit there is no thread and no timer."""
    before = threading.active_count()
    watchdog = Watchdog(0, report=lambda event: None, emit=lambda event: None)
    watchdog.start()
    assert threading.active_count() == before
    watchdog.stop()


async def test_its_thread_ends_with_it() -> None:
    """Stopped is stopped: no thread is left, and no timer of the loop."""
    watchdog = Watchdog(0.5, report=lambda event: None, emit=lambda event: None)
    watchdog.start()
    assert any(one.name == "portcast-watchdog" for one in threading.enumerate())
    watchdog.stop()
    assert not any(one.name == "portcast-watchdog" for one in threading.enumerate())
