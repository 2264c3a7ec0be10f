"""Publishers that wait for their topics, and the order in which they are let in again.

Those of one topic are served in order. All are let in from a tick of their own: a publisher is never run from within
another's publish, nor from within a flush. At most as many go in one tick as there is room for: who awaits publishes
only after the tick, so without a count ten thousand would wake up for the room of a few hundred, and queue again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from portcast.runtime.clock import Clock, Timer


class Turnstile:
    """See the theory on top of the module."""

    __slots__ = ("_clock", "_is_held", "_room", "_timer", "_waiters")

    def __init__(self, clock: Clock, is_held: Callable[[str], bool], room: Callable[[], int]) -> None:
        """Prepare with nobody waiting.

        Args:
            clock: the loop.
            is_held: says of a topic whether its publishers must wait.
            room: how many messages may be published now before all topics are held.
        """
        self._clock = clock
        self._is_held = is_held
        self._room = room
        self._waiters: dict[str, deque[Callable[[], None]]] = {}
        self._timer: Timer | None = None

    def wait(self, topic: str, callback: Callable[[], None]) -> None:
        """Call back once, not from within this call, when the topic is not held."""
        self._waiters.setdefault(topic, deque()).append(callback)
        if not self._is_held(topic):
            self.look_soon()

    def look_soon(self) -> None:
        """Let in whom nothing holds, at the end of the tick. Must be called whenever a topic may be free again."""
        if self._waiters and self._timer is None:
            self._timer = self._clock.call_soon(self._look)

    def _look(self) -> None:
        self._timer = None
        room = max(1, self._room())
        for topic, waiters in list(self._waiters.items()):
            while waiters and not self._is_held(topic):
                if not room:
                    self.look_soon()
                    return
                room -= 1
                waiters.popleft()()
            if not waiters:
                self._waiters.pop(topic, None)

    def let_all_in(self) -> None:
        """Call everybody back now, held or not: for the end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiters, self._waiters = self._waiters, {}
        for callbacks in waiters.values():
            # One by one: a callback may have us called again, from within a look that walks the same queue.
            while callbacks:
                callbacks.popleft()()
