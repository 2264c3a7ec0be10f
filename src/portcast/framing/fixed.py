"""Frames of one size."""

from __future__ import annotations

from dataclasses import dataclass

from portcast.errors import CodecError
from portcast.framing.base import FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, size_text


@dataclass(frozen=True, slots=True)
class FixedLengthFraming:
    """Frames of ``size`` bytes each, one after the other.

    Attributes:
        size: bytes of every frame; also the bound.

    Raises:
        ConfigurationError: ``size`` below 1.
    """

    size: int

    def __post_init__(self) -> None:
        check_at_least("size", self.size, 1)

    @property
    def max_frame(self) -> int:
        """The size of every frame."""
        return self.size

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _FixedLengthDecoder(self.size)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` as it is.

        Raises:
            CodecError: it has another size.
        """
        if len(frame) != self.size:
            raise CodecError("fixed", f"the frame has {size_text(len(frame))} instead of {self.size}")
        return frame


class _FixedLengthDecoder(CuttingDecoder):
    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def _expected(self) -> str:
        return f"a frame of {size_text(self._size)}"

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        after = start + self._size
        if after > len(buffer):
            self._need = self._size
            return start
        frames.append(bytes(buffer[start:after]))
        return after
