from __future__ import annotations

import math
import struct
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.codecs import (
    Bits,
    Bool,
    ByteOrder,
    Float16,
    Float32,
    Float64,
    Int8,
    Int16,
    Int24,
    Int32,
    Int40,
    Int48,
    Int56,
    Int64,
    UInt8,
    UInt16,
    UInt24,
    UInt32,
    UInt40,
    UInt48,
    UInt56,
    UInt64,
)
from portcast.codecs.binary_layout import PREFIXES, Layout
from portcast.codecs.binary_numbers import Float, Integer
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError

UNSIGNED: list[type[Integer]] = [UInt8, UInt16, UInt24, UInt32, UInt40, UInt48, UInt56, UInt64]
SIGNED: list[type[Integer]] = [Int8, Int16, Int24, Int32, Int40, Int48, Int56, Int64]
ORDERS: list[ByteOrder] = ["big", "little"]


def read(layout: Layout, data: bytes, order: ByteOrder = "big") -> object:
    """As a run does."""
    code, convert = layout.reader(order)
    (raw,) = struct.unpack(PREFIXES[order] + code, data)
    return raw if convert is None else convert(raw)


@pytest.mark.parametrize("own", [None, *ORDERS])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [*UNSIGNED, *SIGNED], ids=lambda kind: kind.__name__)
def test_integers_of_every_width_and_order(kind: type[Integer], order: ByteOrder, own: ByteOrder | None) -> None:
    """1 to 8 bytes; a field's own order wins over that of its model."""
    layout = kind(byte_order=own)
    size, is_signed = layout.width, kind in SIGNED
    low, high = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if is_signed else (0, (1 << 8 * size) - 1)
    assert kind.__name__ == f"{'' if is_signed else 'U'}Int{8 * size}"
    for value in (low, low + 1, 1, high - 1, high):
        data = value.to_bytes(size, own or order, signed=is_signed)
        assert layout.write(value, order) == data
        assert read(layout, data, order) == value
    for value in (low - 1, high + 1):
        with pytest.raises(Refusal, match=f"^{low} to {high}, not {value}$"):
            layout.write(value, order)


@given(st.sampled_from([*UNSIGNED, *SIGNED]), st.sampled_from(ORDERS), st.data())
def test_integers_are_read_back(kind: type[Integer], order: ByteOrder, data: st.DataObject) -> None:
    """Every pattern of bytes is a number, and is written as it was."""
    layout = kind()
    raw = data.draw(st.binary(min_size=layout.width, max_size=layout.width))
    assert layout.write(read(layout, raw, order), order) == raw


@pytest.mark.parametrize(
    ("layout", "data", "value"),
    [
        (UInt16(scale=0.1), "007b", 12.3),
        (UInt16(scale=0.1, byte_order="little"), "7b00", 12.3),
        (Int16(scale=0.1, offset=-40), "ffff", -40.1),
        (UInt24(scale=1 / 1000), "000001", 0.001),
        (UInt8(scale=10), "03", 30),
        (UInt8(scale=Fraction(2, 5)), "05", 2.0),
        (Int8(scale=-1), "01", -1),
    ],
    ids=["tenths", "little", "offset", "24-bit", "tens", "fraction", "negative"],
)
def test_quantities(layout: Integer, data: str, value: float) -> None:
    """Scale and offset, in both directions."""
    assert read(layout, bytes.fromhex(data)) == value
    assert layout.write(value, "big").hex() == data


def test_the_range_of_a_quantity_is_in_its_own_terms() -> None:
    """The error speaks of degrees, not of raw numbers."""
    with pytest.raises(Refusal, match=r"^-40\.0 to -14\.5, not 20$"):
        UInt8(scale=0.1, offset=-40).write(20, "big")
    with pytest.raises(Refusal, match=r"^-127 to 128, not 500$"):
        Int8(scale=-1).write(500, "big")


class Colour(Enum):
    RED = 3


class Level(IntEnum):
    HIGH = 200


@pytest.mark.parametrize(
    ("value", "data"),
    [(Colour.RED, b"\3"), (Level.HIGH, b"\xc8"), (True, b"\1"), (Decimal(7), b"\7"), (2.0, b"\2")],
    ids=["enum", "int-enum", "bool", "decimal", "float"],
)
def test_what_counts_as_a_number(value: object, data: bytes) -> None:
    """Members of an enum are written as their value."""
    assert UInt8().write(value, "big") == data


@pytest.mark.parametrize("value", ["1", None, b"1"], ids=["str", "none", "bytes"])
def test_what_does_not(value: object) -> None:
    """A model that was never validated may hold anything."""
    with pytest.raises(Refusal, match=f"a number, not {type(value).__name__}"):
        UInt8().write(value, "big")
    with pytest.raises(Refusal, match=f"a number, not {type(value).__name__}"):
        Float32().write(value, "big")


@pytest.mark.parametrize(
    ("layout", "raw", "value"),
    [
        (Bits(3), 5, 5),
        (Bits(3, signed=True), 5, -3),
        (Bits(3, signed=True), 3, 3),
        (Bits(4, scale=0.5), 5, 2.5),
        (Bits(4, signed=True, scale=0.5), 15, -0.5),
    ],
    ids=["unsigned", "negative", "positive", "scaled", "both"],
)
def test_bits(layout: Bits, raw: int, value: float) -> None:
    """Bits are numbers like others: signed, scaled."""
    convert = layout.bit_converter()
    assert (raw if convert is None else convert(raw)) == value
    assert layout.write_bits(value) == raw


@pytest.mark.parametrize(("layout", "low", "high"), [(Bits(3), 0, 7), (Bits(3, signed=True), -4, 3)])
def test_bits_have_a_range(layout: Bits, low: int, high: int) -> None:
    """One more would reach into the neighbour."""
    for value in (low - 1, high + 1):
        with pytest.raises(Refusal, match=f"{low} to {high}, not {value}"):
            layout.write_bits(value)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("own", [None, *ORDERS])
@pytest.mark.parametrize(("kind", "code"), [(Float16, "e"), (Float32, "f"), (Float64, "d")])
def test_floats(kind: type[Float], code: str, order: ByteOrder, own: ByteOrder | None) -> None:
    """IEEE 754 in three widths, NaN and infinity among them."""
    layout = kind(byte_order=own)
    data = struct.pack(PREFIXES[own or order] + code, 1.5)
    assert layout.width == len(data)
    assert read(layout, data, order) == 1.5
    assert layout.write(1.5, order) == data
    assert read(layout, layout.write(math.inf, order), order) == math.inf
    assert math.isnan(float(str(read(layout, layout.write(math.nan, order), order))))


def test_a_finite_float_stays_finite() -> None:
    """A value that does not fit is an error, not an infinity."""
    with pytest.raises(Refusal, match="a number that fits 4 bytes, not 1e"):
        Float32().write(1e300, "big")
    with pytest.raises(Refusal, match="a number that fits 8 bytes"):
        Float64().write(10**400, "big")


def test_flags_of_one_byte() -> None:
    """Two bytes mean something, all others nothing."""
    layout = Bool(true=0x59, false=0x4E)
    assert layout.width == 1
    assert read(layout, b"Y") is True
    assert read(layout, b"N") is False
    assert layout.write(True, "big") + layout.write(False, "big") == b"YN"
    with pytest.raises(Refusal, match="89 or 78, not 0"):
        read(layout, b"\0")
    with pytest.raises(Refusal, match="a bool, not int"):
        layout.write(1, "big")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Bits(0), "Bits: 0 bits"),
        (lambda: Bits(65), "Bits: 65 bits"),
        (lambda: UInt8(scale=0), "scale: 0 loses"),
        (lambda: Bool(true=1, false=1), "Bool: 1 and 1"),
        (lambda: Bool(true=256), "Bool: 256 and 0"),
    ],
    ids=["no bits", "too many", "scale", "same", "no byte"],
)
def test_numbers_that_cannot_work(make: type[object], problem: str) -> None:
    """They are found where they are written."""
    with pytest.raises(ConfigurationError, match=problem):
        make()
