"""Frames with a variable-length binary length in front, as Protocol Buffers write streams of messages."""

from __future__ import annotations

from dataclasses import dataclass

from portcast.errors import FramingError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, size_text

_MOST_BYTES = 10
"""64 bits at 7 bits a byte."""


@dataclass(frozen=True, slots=True)
class VarintFraming:
    """Frames with their length in front as an unsigned LEB128 number; the length is not delivered.

    ::

        +-------------------------------------------------------+--------------+
        | 1 to 10 bytes: 7 bits each, least significant first,  | as many bytes|
        | bit 7 set in all but the last                         |              |
        +-------------------------------------------------------+--------------+

    Attributes:
        max_frame: most bytes that the length may announce. 64 KiB.

    Raises:
        ConfigurationError: ``max_frame`` below 1.
    """

    max_frame: int = DEFAULT_MAX_FRAME

    def __post_init__(self) -> None:
        check_at_least("max_frame", self.max_frame, 1)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _VarintDecoder(self.max_frame)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` with its length in front, in the fewest bytes."""
        length = len(frame)
        prefix = bytearray()
        while length > 0x7F:
            prefix.append(length & 0x7F | 0x80)
            length >>= 7
        prefix.append(length)
        return bytes(prefix) + frame


class _VarintDecoder(CuttingDecoder):
    __slots__ = ("_max_frame",)

    def __init__(self, max_frame: int) -> None:
        super().__init__()
        self._max_frame = max_frame

    def _expected(self) -> str:
        return f"a frame of {size_text(self._need)}" if self._need else "the rest of a length"

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        length = 0
        body = start
        for byte in buffer[start : start + _MOST_BYTES]:
            length |= (byte & 0x7F) << 7 * (body - start)
            body += 1
            if byte < 0x80:
                break
        else:
            if body - start == _MOST_BYTES:
                self._fail(FramingError, f"a length of at most {_MOST_BYTES} bytes", _MOST_BYTES, buffer[start:body])
            self._need = 0
            return start
        if length > self._max_frame:
            self._fail(OversizeFrameError, f"at most {size_text(self._max_frame)}", length, buffer[start:body])
            return start
        after = body + length
        if after > len(buffer):
            self._need = after - start
            return start
        frames.append(bytes(buffer[body:after]))
        return after
