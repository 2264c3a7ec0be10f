"""Numbers and flags in binary frames.

::

    UInt8 … UInt64   1 to 8 bytes, unsigned            Bits(n)    n bits, most significant bit first
    Int8  … Int64    1 to 8 bytes, two's complement    Bool       1 byte
    Float16, 32, 64  IEEE 754 binary16, 32, 64

A scale, an offset and a unit make a quantity of a whole number: `portcast.codecs.binary_scale`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import ClassVar

from portcast.codecs.binary_layout import PREFIXES, ByteOrder, Convert, Layout, Reader, WithUnit
from portcast.codecs.binary_scale import Refusal, Rounding, Scale, scale_of
from portcast.errors import ConfigurationError

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""By width, the `struct` code of an unsigned number; the signed one is in lower case."""

MAX_BITS = 64
"""Of one bit field: what fits the largest integer of the other layouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(WithUnit):
    """What all whole numbers share.

    Attributes:
        scale: what one step is worth, ``value = raw * scale + offset``; a float or a `Fraction`. The default 1 leaves
            the number whole. A float holds 53 bits: beyond that annotate an int, or leave the scale to the reader.
        offset: the value of raw 0.
        rounding: what becomes of values between two steps when they are written.
        unit: of the value, such as ``"km/h"``; goes into the JSON schema as ``x-unit``.
        byte_order: None takes the order of the model.

    Raises:
        ConfigurationError: the scale or offset cannot work.
    """

    scale: float | Fraction = 1
    offset: float | Fraction = 0
    rounding: Rounding = "nearest"
    unit: str = ""
    byte_order: ByteOrder | None = None
    _scale: Scale = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_scale", scale_of(self.scale, self.offset))

    def to_raw(self, value: object, lowest: int, highest: int) -> int:
        """Return the whole number that stands for ``value``.

        Raises:
            Refusal: it is no number, or not in the range of raw numbers from ``lowest`` to ``highest``, inclusive.
        """
        if isinstance(value, Enum):
            value = value.value
        if not isinstance(value, int | float | Decimal | Fraction):
            raise Refusal(f"a number, not {type(value).__name__}")
        raw = self._scale.to_raw(value, self.rounding)
        if not lowest <= raw <= highest:
            ends = sorted((self._scale.to_value(lowest), self._scale.to_value(highest)))
            raise Refusal(f"{ends[0]} to {ends[1]}, not {value}")
        return raw

    def converter(self, bits: int = 0) -> Convert | None:
        """Return how to make the value of a raw number; None if it is the value.

        Args:
            bits: the width of a two's complement number that was unpacked as unsigned; 0 if it needs no such care.
        """
        scale = self._scale
        half, whole = 1 << bits >> 1, 1 << bits
        if bits:
            return lambda raw: scale.to_value(raw - whole if raw >= half else raw)
        if scale.is_identity:
            return None
        if scale.numerator == 1 and scale.addend == 0 and scale.denominator > 1:
            # The usual scale, one tenth of something: half the time of the general case.
            divisor = scale.denominator
            return lambda raw: raw / divisor
        return scale.to_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer(Number, Layout):
    """A whole number of whole bytes; use `UInt8` to `UInt64` and `Int8` to `Int64`."""

    size: ClassVar[int] = 1
    is_signed: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """1 to 8 bytes."""
        return self.size

    def reader(self, order: ByteOrder) -> Reader:
        """Take the native code where there is one, else the bytes."""
        own = self.byte_order or order
        convert = self.converter()
        code = _CODES.get(self.size)
        if code is not None and (own == order or self.size == 1):
            return Reader(code.lower() if self.is_signed else code, convert)
        # No code for 3, 5, 6 and 7 bytes, nor for an order other than that of the whole format.
        is_signed, from_bytes = self.is_signed, int.from_bytes
        if convert is None:
            return Reader(f"{self.size}s", lambda data: from_bytes(data, own, signed=is_signed))
        return Reader(f"{self.size}s", lambda data: convert(from_bytes(data, own, signed=is_signed)))

    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return the number that stands for ``value``, or refuse what is out of range."""
        bits = 8 * self.size
        lowest, highest = (-1 << bits - 1, (1 << bits - 1) - 1) if self.is_signed else (0, (1 << bits) - 1)
        raw = self.to_raw(value, lowest, highest)
        return raw.to_bytes(self.size, self.byte_order or order, signed=self.is_signed)


class UInt8(Integer):
    """An unsigned number of 1 byte: 0 to 255."""

    __slots__ = ()


class UInt16(Integer):
    """An unsigned number of 2 bytes: 0 to 65 535."""

    __slots__ = ()
    size = 2


class UInt24(Integer):
    """An unsigned number of 3 bytes: 0 to 16 777 215."""

    __slots__ = ()
    size = 3


class UInt32(Integer):
    """An unsigned number of 4 bytes: 0 to 4 294 967 295."""

    __slots__ = ()
    size = 4


class UInt40(Integer):
    """An unsigned number of 5 bytes."""

    __slots__ = ()
    size = 5


class UInt48(Integer):
    """An unsigned number of 6 bytes."""

    __slots__ = ()
    size = 6


class UInt56(Integer):
    """An unsigned number of 7 bytes."""

    __slots__ = ()
    size = 7


class UInt64(Integer):
    """An unsigned number of 8 bytes."""

    __slots__ = ()
    size = 8


class Int8(UInt8):
    """A signed number of 1 byte: -128 to 127."""

    __slots__ = ()
    is_signed = True


class Int16(UInt16):
    """A signed number of 2 bytes: -32 768 to 32 767."""

    __slots__ = ()
    is_signed = True


class Int24(UInt24):
    """A signed number of 3 bytes: -8 388 608 to 8 388 607."""

    __slots__ = ()
    is_signed = True


class Int32(UInt32):
    """A signed number of 4 bytes: -2 147 483 648 to 2 147 483 647."""

    __slots__ = ()
    is_signed = True


class Int40(UInt40):
    """A signed number of 5 bytes."""

    __slots__ = ()
    is_signed = True


class Int48(UInt48):
    """A signed number of 6 bytes."""

    __slots__ = ()
    is_signed = True


class Int56(UInt56):
    """A signed number of 7 bytes."""

    __slots__ = ()
    is_signed = True


class Int64(UInt64):
    """A signed number of 8 bytes."""

    __slots__ = ()
    is_signed = True


@dataclass(frozen=True, slots=True)
class Bits(Number):
    """A whole number of some bits, most significant bit first.

    Bit fields that follow each other share bytes and must fill them: 4 + 4, 1 + 1 + 14. The first takes the most
    significant bits of the first byte::

        Bits(6)      Bits(10)
        |<---->|<---------->|
        765432 10  76543210
        byte 0     byte 1

    Attributes:
        bits: how many, 1 to 64.
        signed: True for two's complement.
        byte_order: of the bytes that the neighbours share, as said by the first of them: ``little`` for flags of a
            word that is sent with its low byte first. None is ``big``, whatever the order of the model.

    Raises:
        ConfigurationError: fewer than 1 or more than 64 bits.
    """

    bits: int
    signed: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ConfigurationError("Bits", f"{self.bits} bits", f"use 1 to {MAX_BITS}")
        # By name: a dataclass with slots is a new class, which the zero-argument super() does not know.
        Number.__post_init__(self)

    def bit_converter(self) -> Convert | None:
        """Return how to make the value of the bits, read as an unsigned number; None if they are the value."""
        return self.converter(self.bits if self.signed else 0)

    def write_bits(self, value: object) -> int:
        """Return ``value`` as an unsigned number of `bits` bits.

        Raises:
            Refusal: they cannot hold it.
        """
        highest = (1 << self.bits - self.signed) - 1
        raw = self.to_raw(value, -1 - highest if self.signed else 0, highest)
        return raw & (1 << self.bits) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Float(WithUnit, Layout):
    """A floating point number (IEEE 754); use `Float16`, `Float32` or `Float64`.

    Attributes:
        unit: as for whole numbers.
        byte_order: None takes the order of the model.
    """

    code: ClassVar[str] = "d"

    unit: str = ""
    byte_order: ByteOrder | None = None

    @property
    def width(self) -> int:
        """2, 4 or 8 bytes."""
        return struct.calcsize(f">{self.code}")

    def reader(self, order: ByteOrder) -> Reader:
        """Take the native code, or the bytes if their order is not that of the format."""
        own = self.byte_order or order
        if own == order:
            return Reader(self.code, None)
        unpack = struct.Struct(PREFIXES[own] + self.code).unpack
        return Reader(f"{self.width}s", lambda data: unpack(data)[0])

    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return the nearest number of this width; a finite value must not become an infinity."""
        if not isinstance(value, int | float | Decimal):
            raise Refusal(f"a number, not {type(value).__name__}")
        try:
            return struct.pack(PREFIXES[self.byte_order or order] + self.code, float(value))
        except OverflowError:
            raise Refusal(f"a number that fits {self.width} bytes, not {value}") from None


class Float16(Float):
    """IEEE 754 binary16: about 3 decimal digits, up to 65 504."""

    __slots__ = ()
    code = "e"


class Float32(Float):
    """IEEE 754 binary32: about 7 decimal digits."""

    __slots__ = ()
    code = "f"


class Float64(Float):
    """IEEE 754 binary64, the float of Python."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Bool(Layout):
    """True or false in a byte of its own; among bit fields use ``Annotated[bool, Bits(1)]``.

    Attributes:
        true: the byte for True.
        false: the byte for False. Other bytes are refused.

    Raises:
        ConfigurationError: the two are the same, or not bytes.
    """

    true: int = 1
    false: int = 0

    def __post_init__(self) -> None:
        if self.true == self.false or not {self.true, self.false} <= set(range(256)):
            raise ConfigurationError("Bool", f"{self.true} and {self.false}", "use two different bytes, 0 to 255")

    @property
    def width(self) -> int:
        """1 byte."""
        return 1

    def reader(self, order: ByteOrder) -> Reader:
        """Read an unsigned byte and look it up."""
        values = {self.true: True, self.false: False}

        def convert(raw: int) -> bool:
            if raw not in values:
                raise Refusal(f"{self.true} or {self.false}, not {raw}")
            return values[raw]

        return Reader("B", convert)

    def write(self, value: object, order: ByteOrder) -> bytes:
        """Return the byte for ``value``."""
        if not isinstance(value, bool):
            raise Refusal(f"a bool, not {type(value).__name__}")
        return bytes([self.true if value else self.false])
