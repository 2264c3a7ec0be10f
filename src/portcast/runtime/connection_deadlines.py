"""The deadlines of a connection, at which the registry's ticker looks: nothing here is done per read.

What each is, and its default, stands in `portcast.config.ListenerOptions` and in docs/limits.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcast.runtime.connection_output import Output

if TYPE_CHECKING:
    from portcast.events import CloseReason
    from portcast.framing import FrameDecoder
    from portcast.runtime.consumer import Consumer

REST_S = 0.25
"""Silence after which the next look ends a handler's task; it costs 3 KiB, and a new one a few microseconds."""


class Deadlines(Output):
    """The part of `portcast.runtime.connection.Connection` that time ends."""

    __slots__ = ("_partial",)

    # What the other parts have.
    frames: int
    is_admitted: bool
    received_at: float
    _consumer: Consumer
    _decoder: FrameDecoder
    _is_lost: bool
    _is_reading: bool

    def _begin_deadlines(self) -> None:
        # The frame under way, by the number of frames before it, and when it was seen first.
        self._partial: tuple[int, float] | None = None

    def end(self, reason: CloseReason, detail: str = "") -> None:
        """See `portcast.runtime.connection.Connection.end`."""
        raise NotImplementedError

    def abort(self, reason: CloseReason) -> None:
        """See `portcast.runtime.connection.Connection.abort`."""
        raise NotImplementedError

    def check_deadlines(self, now: float) -> None:
        """End the connection if one of its deadlines has passed."""
        if self._is_lost:
            # What is still being handled has no deadline: the device is gone, its frames are not.
            return
        options = self._listener.options
        waits_since = self._waits_for_device_since
        if waits_since is not None and options.write_timeout_s and now - waits_since > options.write_timeout_s:
            self.abort("write_timeout")
        limit_s = options.authentication_timeout_s
        if not self.is_admitted and self._close_reason is None and limit_s and now - self.opened_at > limit_s:
            self.end("unauthenticated", f"not within {limit_s:g} s")
        if self._close_reason is not None or not self._is_reading:
            self._partial = None  # the device can't complete what we do not read
            return
        if now - self.received_at > REST_S:
            self._consumer.rest(now - self.received_at)
        if not self.frames and options.first_frame_timeout_s and now - self.opened_at > options.first_frame_timeout_s:
            self.end("first_frame_timeout")
        elif self._is_frame_late(now, options.frame_timeout_s):
            self.end("frame_timeout", f"{self._decoder.buffered} bytes without the end of their frame")
        elif options.idle_timeout_s and now - self.received_at > options.idle_timeout_s:
            self.end("idle_timeout")

    def _is_frame_late(self, now: float, limit_s: float) -> bool:
        """Return True if the frame under way began too long ago; only looks tell, so that a read costs nothing."""
        if not self._decoder.buffered:
            self._partial = None
        elif self._partial is None or self._partial[0] != self.frames:
            self._partial = (self.frames, now)
        return self._partial is not None and 0 < limit_s < now - self._partial[1]
