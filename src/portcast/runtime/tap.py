"""What listens in on one connection: its decoder is wrapped, and what is sent is shown.

A connection that is not recorded has no tap and its own decoder: recording others costs it nothing but the look at an
attribute that is None when something is sent.
"""

from __future__ import annotations

from typing import Protocol

from portcast.errors import FramingError
from portcast.framing import FrameDecoder


class Tap(Protocol):
    """Is shown what a connection receives and sends. Called on the loop; must not block or raise."""

    def received(self, frames: list[bytes]) -> None:
        """Take note of frames, at least one, before they are handled."""
        ...

    def refused(self, data: bytes, size: int, detail: str) -> None:
        """Take note of bytes in which the framing found an error.

        Args:
            data: what was held of the frame before, and the read in which the error is, good frames before it included.
                Of what was held, only the beginning.
            size: how many bytes these were.
            detail: the error's sentence.
        """
        ...

    def sent(self, frame: bytes) -> None:
        """Take note of a frame that was sent, as it was before the framing encoded it."""
        ...


class TappedDecoder:
    """A decoder that shows a tap what its inner one makes of the bytes; otherwise it is like that.

    Attributes:
        inner: the connection's own.
    """

    __slots__ = ("_held", "_held_size", "_max_bytes", "_tap", "inner")

    def __init__(self, inner: FrameDecoder, tap: Tap, max_bytes: int) -> None:
        """Wrap a decoder, which may hold a part of a frame already; that part is not shown.

        Args:
            inner: decodes.
            tap: is shown what comes of it.
            max_bytes: how much of an unfinished frame is remembered, in case the framing refuses it.
        """
        self.inner = inner
        self._tap = tap
        self._max_bytes = max_bytes
        # The beginning of the bytes that the inner decoder holds, as they came, and how many it holds.
        self._held = b""
        self._held_size = 0

    @property
    def error(self) -> FramingError | None:
        """See `FrameDecoder.error`."""
        return self.inner.error

    @property
    def skipped_bytes(self) -> int:
        """See `FrameDecoder.skipped_bytes`."""
        return self.inner.skipped_bytes

    @property
    def buffered(self) -> int:
        """See `FrameDecoder.buffered`."""
        return self.inner.buffered

    def feed(self, data: bytes) -> list[bytes]:
        """See `FrameDecoder.feed`."""
        try:
            frames = self.inner.feed(data)
        except BaseException as error:
            self._tap.refused(self._held + data, self._held_size + len(data), _raised(error))
            raise
        return self._shown(frames, data)

    def end(self) -> list[bytes]:
        """See `FrameDecoder.end`."""
        try:
            frames = self.inner.end()
        except BaseException as error:
            self._tap.refused(self._held, self._held_size, _raised(error))
            raise
        return self._shown(frames, b"")

    def _shown(self, frames: list[bytes], data: bytes) -> list[bytes]:
        if frames:
            # What was held is in the first of them.
            self._tap.received(frames)
            raw, size = data, len(data)
        else:
            raw, size = self._held + data, self._held_size + len(data)
        if (fault := self.inner.error) is not None:
            self._tap.refused(raw, size, str(fault))
        self._held_size = self.inner.buffered
        self._held = raw[-self._held_size :][: self._max_bytes] if self._held_size else b""
        return frames


def _raised(error: BaseException) -> str:
    return f"the framing raised {type(error).__name__}: {error}"
