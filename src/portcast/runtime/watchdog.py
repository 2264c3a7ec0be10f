"""A thread that sees when the loop is blocked, and by what.

A handler that calls `time.sleep` or computes for seconds stops everything: devices, clients, health checks. The loop
can't say so, because it does not run. So it leaves a *beat* four times a second, and a thread looks whether the last
one is too old. It reports once per block, with the stack of the loop's thread as it stands at that moment.

The time from a beat that was due to the one that came is the *lag*: how long everybody waited for the loop.

Two things happen in the thread and nowhere else: `sys._current_frames` is read, and ``report`` is called. Everything
else belongs to the loop; a counter is increased by it once it runs again.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from portcast.events import Emit, LoopBlocked

BEAT_S = 0.25
MOST_FRAMES = 12
"""Innermost frames of a stack that are reported; the ones outside of them are the loop's own."""


@dataclass(frozen=True, slots=True)
class LoopStatistics:
    """A snapshot.

    Attributes:
        lag_s: how late the last beat was.
        worst_lag_s: the latest of all since start.
        blocked: how often the loop was blocked for longer than the limit.
    """

    lag_s: float
    worst_lag_s: float
    blocked: int


class Watchdog:
    """See the theory on top of the module. Made, started and stopped on the loop that it watches."""

    def __init__(
        self,
        limit_s: float,
        *,
        report: Emit,
        emit: Emit,
        handler_of: Callable[[asyncio.Task[object]], str] = lambda task: task.get_name(),
    ) -> None:
        """Watch nothing yet.

        Args:
            limit_s: a block of this length is reported; 0 watches nothing.
            report: is called in the thread, while the loop is blocked; must be safe there.
            emit: takes the same event on the loop, when it runs again.
            handler_of: names what a task works for; called in the thread.
        """
        self._limit_s = limit_s
        self._report = report
        self._emit = emit
        self._handler_of = handler_of
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        # Written by the loop, read by the thread.
        self._beat = time.monotonic()
        self._lag_s = self._worst_lag_s = 0.0
        self._blocked = 0

    def start(self) -> None:
        """Begin to watch; does nothing without a limit."""
        if self._limit_s:
            self._beat = time.monotonic()
            self._timer = self._loop.call_later(BEAT_S, self._on_beat)
            # A daemon: an interpreter that ends must not wait for it.
            self._thread = threading.Thread(target=self._watch, name="portcast-watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; it ends at once."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def statistics(self) -> LoopStatistics:
        """Return a snapshot."""
        return LoopStatistics(self._lag_s, self._worst_lag_s, self._blocked)

    def _on_beat(self) -> None:
        now = time.monotonic()
        self._lag_s = max(0.0, now - self._beat - BEAT_S)
        self._worst_lag_s = max(self._worst_lag_s, self._lag_s)
        self._beat = now
        self._timer = self._loop.call_later(BEAT_S, self._on_beat)

    # In the thread

    def _watch(self) -> None:
        reported = 0.0
        # Twice as often as the limit asks for, so that a report comes at most half of it late.
        pause_s = min(BEAT_S, self._limit_s / 2)
        while not self._ended.wait(pause_s):
            beat = self._beat
            blocked_s = time.monotonic() - beat - BEAT_S
            if blocked_s >= self._limit_s and beat != reported:
                reported = beat
                self._blocked += 1
                event = LoopBlocked(self._handler(), round(blocked_s, 3), self._stack())
                self._report(event)
                try:
                    self._loop.call_soon_threadsafe(self._emit, event)
                except RuntimeError:  # the loop was closed meanwhile
                    return

    def _handler(self) -> str:
        try:
            task = asyncio.current_task(self._loop)
        except RuntimeError:
            task = None
        return self._handler_of(task) if task is not None else ""

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread_id)
        if frame is None:
            return ""
        innermost = traceback.extract_stack(frame)[-MOST_FRAMES:]
        return " > ".join(f"{one.name} ({_short(one.filename)}:{one.lineno})" for one in innermost)


def _short(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])
