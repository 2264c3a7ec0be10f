"""Consistent overhead byte stuffing: frames without zero bytes, ended by one."""

from __future__ import annotations

from dataclasses import dataclass

from portcast.errors import FramingError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, size_text

_RUN = 254
"""Most bytes that one code byte covers."""


@dataclass(frozen=True, slots=True)
class CobsFraming:
    """Frames in COBS, each ended by a zero byte (Cheshire and Baker, IEEE/ACM Transactions on Networking 7(2), 1999).

    ::

        +------+---------------+------+---------------+-----+------+
        | n    | n - 1 bytes,  | n    | n - 1 bytes,  | ... | 0x00 |
        | 1-255| none of them 0| 1-255| none of them 0|     |      |
        +------+---------------+------+---------------+-----+------+

    Each group stands for its bytes and a zero; there is no zero after a group of n = 255 nor after the last. Several
    zeros in a row are one end: a sender may write one before a frame to flush noise.

    Attributes:
        max_frame: most bytes of a frame as delivered. 64 KiB. On the wire one byte more in 254 may arrive.

    Raises:
        ConfigurationError: ``max_frame`` below 1.
    """

    max_frame: int = DEFAULT_MAX_FRAME

    def __post_init__(self) -> None:
        check_at_least("max_frame", self.max_frame, 1)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _CobsDecoder(self.max_frame)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` stuffed and ended by a zero byte."""
        groups: list[bytes] = []
        pieces = frame.split(b"\0")
        for piece in pieces:
            position = 0
            while len(piece) - position >= _RUN:
                groups.append(b"\xff" + piece[position : position + _RUN])
                position += _RUN
            groups.append(bytes((len(piece) - position + 1,)) + piece[position:])
        return b"".join(groups) + b"\0"


class _CobsDecoder(CuttingDecoder):
    """Looks for the zero from where it stopped looking, then undoes the stuffing."""

    __slots__ = ("_max_frame", "_searched")

    def __init__(self, max_frame: int) -> None:
        super().__init__()
        self._max_frame = max_frame
        # Bytes of the held frame that are known not to be zero.
        self._searched = 0

    def _expected(self) -> str:
        return "a zero byte"

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        # A frame of n bytes is written in at most this many: one code byte for each full group, and the last one.
        limit = self._max_frame + self._max_frame // _RUN + 1
        end = buffer.find(0, start + self._searched)
        stuffed = (end if end >= 0 else len(buffer)) - start
        if stuffed > limit:
            expected = f"a zero byte within {size_text(limit)}"
            self._fail(OversizeFrameError, expected, limit + 1, buffer[start : start + limit + 1])
            return start
        if end < 0:
            self._searched = stuffed
            return start
        self._searched = 0
        if stuffed:
            frame = self._unstuff(bytes(buffer[start:end]))
            if frame is None:
                return start
            frames.append(frame)
        return end + 1

    def _unstuff(self, stuffed: bytes) -> bytes | None:
        """Return the frame; None if `error` was set."""
        pieces: list[bytes] = []
        size = len(stuffed)
        position = 0
        while position < size:
            after = position + stuffed[position]
            if after > size:
                self._fail(FramingError, f"a group of {stuffed[position]} bytes before the zero byte", size, stuffed)
                return None
            pieces.append(stuffed[position + 1 : after])
            if after < size and stuffed[position] <= _RUN:
                pieces.append(b"\0")
            position = after
        frame = b"".join(pieces)
        if len(frame) > self._max_frame:
            expected = f"at most {size_text(self._max_frame)} in a frame"
            self._fail(OversizeFrameError, expected, len(frame), stuffed)
            return None
        return frame
