"""The part of an event loop that the runtime's timed objects use, so that tests can give them a manual one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """What can be cancelled."""

    def cancel(self) -> None:
        """Make sure that it does not run."""
        ...


class Clock(Protocol):
    """The part of an event loop that the hub uses."""

    def time(self) -> float:
        """Return monotonic seconds."""
        ...

    def call_soon(self, callback: Callable[[], object], /) -> Timer:
        """Run at the end of this tick."""
        ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer:
        """Run at a time."""
        ...
