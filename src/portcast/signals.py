"""Begins the drain with the stop signal, under servers that would close every client first.

uvicorn installs its handlers before the lifespan starts. Here they are chained: the first signal starts the drain,
and only when that is over the server's own handler gets the signal; a second one goes through at once. Our own runner
(`portcast.server`) drains by itself and is left alone.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

Previous = Callable[[int, FrameType | None], Any]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalDrain:
    """Chains the stop signals of a server for as long as the gateway runs."""

    def __init__(self, drain: Callable[[], Awaitable[None]], hurry: Callable[[], None]) -> None:
        """Prepare; nothing is installed yet.

        Args:
            drain: stops in order.
            hurry: makes a running drain end at once.
        """
        self._drain = drain
        self._hurry = hurry
        self._previous: dict[int, Previous] = {}
        self._task: asyncio.Task[None] | None = None
        self._has_begun = False

    def install(self) -> None:
        """Chain the handlers that a server has installed; must run on its loop.

        Does nothing outside the main thread, and for a signal whose handler is Python's own: then nobody would stop
        after the drain.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if not callable(previous) or previous is signal.default_int_handler:
                continue
            if getattr(getattr(previous, "__self__", None), "drains_gateway", False):
                continue
            self._previous[number] = previous
            signal.signal(number, self._handler(loop))

    def restore(self) -> None:
        """Put the server's handlers back."""
        if threading.current_thread() is threading.main_thread():
            for number, previous in self._previous.items():
                signal.signal(number, previous)
        self._previous.clear()

    def _handler(self, loop: asyncio.AbstractEventLoop) -> Previous:
        def handle(number: int, frame: FrameType | None) -> None:
            previous = self._previous.get(number)
            if previous is None:
                return
            if self._has_begun:
                loop.call_soon_threadsafe(self._hurry)
                previous(number, frame)
                return
            self._has_begun = True
            loop.call_soon_threadsafe(self._begin, number, previous)

        return handle

    def _begin(self, number: int, previous: Previous) -> None:
        async def drain_then_pass_on() -> None:
            try:
                await self._drain()
            finally:
                previous(number, None)

        self._task = asyncio.ensure_future(drain_then_pass_on())
