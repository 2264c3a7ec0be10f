"""How long a part of a binary frame is: a fixed number, another field, a number in front of it, or to the end.

::

    Bytes(4)            4 bytes                        Repeat(3)           3 items
    Bytes("size")       as the field `size` says       Repeat("count")     as many as the field `count` says
    Bytes(UInt16())     a number of 2 bytes in front   Repeat(UInt8())     a number of 1 byte in front
    Bytes(REST)         to the end                     Repeat(REST)        as many as there are

A field that gives a length is written from what it measures, whatever its own value is: a list that grew after decoding
still makes a frame that can be read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from portcast.codecs.binary_layout import PREFIXES, ByteOrder
from portcast.codecs.binary_numbers import Integer
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError


class Rest(Enum):
    """The type of `REST`."""

    REST = "rest"


REST: Final = Rest.REST
"""To the end of the frame, or of the part that `Sized` cuts off, without the fields of fixed width that follow."""

Length: TypeAlias = int | str | Integer | Rest
"""See the table on top of the module; a str names an earlier field of the same model."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What parts of variable length share.

    Attributes:
        length: bytes, or items of a `Repeat`.
        adjust: added to what a field or a number in front says; negative if that counts more than this part.

    Raises:
        ConfigurationError: a negative length, or an adjustment of a length that no field says.
    """

    length: Length
    adjust: int = 0

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if not isinstance(self.length, int | str | Integer | Rest):
            raise ConfigurationError(kind, f"{self.length!r} is no length", 'use 4, "field", UInt8() or REST')
        if isinstance(self.length, int) and self.length < 0:
            raise ConfigurationError(kind, f"a length of {self.length}", "use at least 0")
        if self.adjust and isinstance(self.length, int | Rest):
            raise ConfigurationError(f"{kind}.adjust", "there is no field to adjust", "leave it out")

    @property
    def source(self) -> str:
        """The field that says the length; empty if none does."""
        return self.length if isinstance(self.length, str) else ""


class Measure:
    """Reads and writes the length of one part; made once for each."""

    __slots__ = ("_convert", "_measured", "_order", "_prefix", "_unpack")

    def __init__(self, measured: Measured, order: ByteOrder) -> None:
        self._measured = measured
        self._order = order
        length = measured.length
        # A `0s` takes no bytes, so that the prefix of a part without one is read like any other.
        reader = length.reader(order) if isinstance(length, Integer) else None
        prefix = struct.Struct(PREFIXES[order] + (reader.code if reader else "0s"))
        self._prefix = prefix.size
        self._unpack = prefix.unpack_from
        self._convert = reader.convert if reader else None

    @property
    def prefix_size(self) -> int:
        """Bytes of the number in front; 0 if there is none."""
        return self._prefix

    @property
    def least(self) -> int:
        """The smallest number that can be read."""
        length = self._measured.length
        return length if isinstance(length, int) else 0

    @property
    def source(self) -> str:
        """The field that says the length; empty if none does."""
        return self._measured.source

    @property
    def adjust(self) -> int:
        """What is added to the number that the field says."""
        return self._measured.adjust

    @property
    def is_rest(self) -> bool:
        """True if the part goes on to the end."""
        return self._measured.length is REST

    def read(self, frame: bytes, at: int, values: Mapping[str, object]) -> tuple[int, int]:
        """Return the length, and where the part begins. The length of `REST` is what is left, in bytes.

        Args:
            frame: the frame.
            at: where the number in front begins, if there is one.
            values: the fields before this part.

        Raises:
            Refusal: there is no room for the number in front, or it is negative.
        """
        length = self._measured.length
        if isinstance(length, int):
            return length, at
        if length is REST:
            return len(frame) - at, at
        if isinstance(length, str):
            said = values[length]
        else:
            if at + self._prefix > len(frame):
                raise Refusal(f"a length of {bytes_text(self._prefix)}, {left_text(frame, at)}")
            (said,) = self._unpack(frame, at)
            said = self._convert(said) if self._convert else said
            at += self._prefix
        assert isinstance(said, int), "the compiler lets only whole numbers say a length"
        size = said + self._measured.adjust
        if size < 0:
            raise Refusal(f"a length of at least {-self._measured.adjust}, not {said}")
        return size, at

    def write(self, size: int) -> bytes:
        """Return the number in front for a part of ``size``; empty if there is none.

        Raises:
            Refusal: the length is fixed and not this one, or does not fit the number in front.
        """
        length = self._measured.length
        if isinstance(length, int) and size != length:
            raise Refusal(f"a length of {length}, not {size}")
        if isinstance(length, Integer):
            try:
                return length.write(size - self._measured.adjust, self._order)
            except Refusal as refusal:
                raise Refusal(f"a length of {refusal.expected}") from refusal
        return b""


def bytes_text(size: int) -> str:
    """Return ``1 byte``, ``2 bytes``."""
    return "1 byte" if size == 1 else f"{size} bytes"


def left_text(frame: bytes, at: int) -> str:
    """Return how much of the frame is left at ``at``, for an error."""
    left = max(0, len(frame) - at)
    return f"{bytes_text(left)} {'is' if left == 1 else 'are'} left"
