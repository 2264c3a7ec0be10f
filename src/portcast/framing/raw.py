"""No framing: each read is a frame."""

from __future__ import annotations

from dataclasses import dataclass

from portcast.errors import FramingError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.validation import check_at_least


@dataclass(frozen=True, slots=True)
class RawFraming:
    """Every read as it comes, for byte streams that have no frames or whose frames are cut elsewhere.

    The one framing whose frames depend on how the network splits the stream; only their concatenation does not.

    Attributes:
        max_frame: a larger read is delivered in pieces of this many bytes. 64 KiB.

    Raises:
        ConfigurationError: ``max_frame`` below 1.
    """

    max_frame: int = DEFAULT_MAX_FRAME

    def __post_init__(self) -> None:
        check_at_least("max_frame", self.max_frame, 1)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _RawDecoder(self.max_frame)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` as it is."""
        return frame


class _RawDecoder:
    """Holds nothing and cannot fail."""

    __slots__ = ("_max_frame", "buffered", "error", "skipped_bytes")

    error: FramingError | None

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self.error = None
        self.skipped_bytes = 0
        self.buffered = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the read, in pieces if it is larger than ``max_frame``."""
        size = self._max_frame
        if len(data) > size:
            return [data[start : start + size] for start in range(0, len(data), size)]
        return [data] if data else []

    def end(self) -> list[bytes]:
        """Return nothing: nothing is held."""
        return []
