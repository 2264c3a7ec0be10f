"""Begins the drain with the stop signal, under servers that would close every client first.

uvicorn installs its handlers before the lifespan starts. Here they are chained: the first signal starts the drain,
and only when that is over the server's own handler gets the signal; a second one goes through at once. Our own runner
(`portcast.server`) drains by itself and is left alone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]

ONE_SIGNAL_S = 0.2
"""The same signal again within this time is the same stop, as in `portcast.server`."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_logger = logging.getLogger("portcast")


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
        self._installed: dict[int, tuple[Handler, Handler]] = {}
        """By signal, our handler and the one that it stands before."""
        self._task: asyncio.Task[None] | None = None
        self._begun_by: int | None = None
        self._begun_at = 0.0
        self._is_over = False

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
            ours = self._handler(loop, previous)
            self._installed[number] = (ours, previous)
            signal.signal(number, ours)

    def restore(self) -> None:
        """Put the server's handlers back where ours are still in place; from now on ours only pass on."""
        self._is_over = True
        if threading.current_thread() is threading.main_thread():
            for number, (ours, previous) in self._installed.items():
                if signal.getsignal(number) is ours:
                    signal.signal(number, previous)
        self._installed.clear()

    async def wait_passed_on(self) -> None:
        """Wait until the first signal, if there was one, has reached the server. Cancelling leaves that to go on."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _handler(self, loop: asyncio.AbstractEventLoop, previous: Handler) -> Handler:
        def handle(number: int, frame: FrameType | None) -> None:
            if self._is_over:
                previous(number, frame)
            elif number == self._begun_by and time.monotonic() - self._begun_at < ONE_SIGNAL_S:
                pass
            elif self._begun_by is not None:
                loop.call_soon_threadsafe(self._hurry)
                previous(number, frame)
            else:
                self._begun_by, self._begun_at = number, time.monotonic()
                loop.call_soon_threadsafe(self._begin, number, previous)

        return handle

    def _begin(self, number: int, previous: Handler) -> None:
        async def drain_then_pass_on() -> None:
            try:
                await self._drain()
            except Exception:
                _logger.exception("drain failed")
            finally:
                # Whatever came of it, also when a second signal cancelled it: a server that never hears of the signal
                # never stops.
                previous(number, None)

        self._task = asyncio.ensure_future(drain_then_pass_on())
