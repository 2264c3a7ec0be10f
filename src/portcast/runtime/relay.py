"""The consumer of a relay: frames go straight to a topic, without a handler, an inbox or a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from portcast.runtime.connection import Connection

Publish = Callable[[str, Sequence[bytes]], object]
"""Publishes consecutive messages on one topic, at once."""


MOST_AT_ONCE = 2048
"""Frames published before asking again whether the topic is held. One read can hold a hundred thousand tiny frames; in
one batch they would keep a client busy for longer than anybody's patience."""


class Holds(Protocol):
    """The part of the hub that tells publishers to wait."""

    def is_held(self, name: str) -> bool:
        """See `Hub.is_held`."""
        ...

    def when_released(self, name: str, callback: Callable[[], None]) -> None:
        """See `Hub.when_released`."""
        ...


class RelayConsumer:
    """Publishes every frame on one topic.

    While the topic is held the frames of the last read wait here, at most one read's worth, and the socket is not
    read: that is how TCP slows the device.
    """

    __slots__ = ("_connection", "_has_ended", "_held", "_hub", "_publish", "_topic")

    def __init__(self, connection: Connection, topic: str, publish: Publish, hub: Holds) -> None:
        self._connection = connection
        self._topic = topic
        self._publish = publish
        self._hub = hub
        self._held: list[bytes] = []
        self._has_ended = False

    def frames_received(self, frames: list[bytes]) -> bool:
        """See `Consumer.frames_received`."""
        if self._held:
            self._held += frames
            return True
        return self._publish_all(frames)

    def _publish_all(self, frames: list[bytes]) -> bool:
        """Publish until the topic is held; then keep the rest, wait, and return True."""
        hub, topic = self._hub, self._topic
        for start in range(0, len(frames), MOST_AT_ONCE):
            if hub.is_held(topic):
                self._held = frames[start:]
                hub.when_released(topic, self._released)
                return True
            self._publish(topic, frames if len(frames) <= MOST_AT_ONCE else frames[start : start + MOST_AT_ONCE])
        return False

    def _released(self) -> None:
        frames, self._held = self._held, []
        if self._publish_all(frames):
            return
        if self._has_ended:
            self._connection.consumer_done()
        self._connection.resume_reading()

    @property
    def is_busy(self) -> bool:
        """True while frames wait for their topic."""
        return bool(self._held)

    @property
    def waiting_bytes(self) -> int:
        """See `Consumer.waiting_bytes`."""
        return sum(map(len, self._held))

    def ended(self) -> None:
        """See `Consumer.ended`."""
        self._has_ended = True
        if not self._held:
            self._connection.consumer_done()

    def discard(self) -> int:
        """See `Consumer.discard`."""
        lost = len(self._held)
        self._held = []
        return lost

    def abort(self) -> int:
        """See `Consumer.abort`."""
        lost = self.discard()
        self._connection.consumer_done()
        return lost

    def abandon(self) -> None:
        """See `Consumer.abandon`: a relay stops at once."""

    def rest(self, silent_s: float) -> None:
        """See `Consumer.rest`: a relay holds nothing."""

    async def receive(self) -> bytes:
        """Refuse: a relay has no handler."""
        raise RuntimeError("a relay's connection has no handler that could receive frames")
