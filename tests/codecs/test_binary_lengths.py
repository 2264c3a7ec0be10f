from __future__ import annotations

from typing import cast

import pytest

from portcast.codecs import REST, Bytes, Repeat, Sized, UInt8, UInt16, UInt24
from portcast.codecs.binary_lengths import Length, Measure, Measured, bytes_text, left_text
from portcast.codecs.binary_scale import Refusal
from portcast.errors import ConfigurationError

FRAME = b"\x00\x03abc"


def measure(length: Length, adjust: int = 0) -> Measure:
    return Measure(Measured(length, adjust), "big")


@pytest.mark.parametrize(
    ("it", "read"),
    [
        (measure(3), (3, 0)),
        (measure("size"), (5, 0)),
        (measure("size", -2), (3, 0)),
        (measure(UInt16()), (3, 2)),
        (measure(UInt16(), 1), (4, 2)),
        (measure(UInt16(byte_order="little")), (768, 2)),
        (measure(UInt24(byte_order="little")), (0x610300, 3)),
        (measure(REST), (5, 0)),
    ],
    ids=["fixed", "field", "adjusted", "prefix", "adjusted-prefix", "little", "24-bit", "rest"],
)
def test_reading(it: Measure, read: tuple[int, int]) -> None:
    """The length, and where the part begins."""
    assert it.read(FRAME, 0, {"size": 5}) == read


def test_what_a_measure_knows_beforehand() -> None:
    """Needed to refuse counts that a frame cannot hold, and to write lengths."""
    fixed, field, prefix, rest = measure(3), measure("size", 2), measure(UInt16()), measure(REST)
    assert [it.prefix_size for it in (fixed, field, prefix, rest)] == [0, 0, 2, 0]
    assert [it.least for it in (fixed, field, prefix, rest)] == [3, 0, 0, 0]
    assert [it.source for it in (fixed, field, prefix, rest)] == ["", "size", "", ""]
    assert [it.is_rest for it in (fixed, field, prefix, rest)] == [False, False, False, True]
    assert field.adjust == 2


def test_there_must_be_room_for_the_number_in_front() -> None:
    """A frame that ends inside it is refused."""
    with pytest.raises(Refusal, match="a length of 2 bytes, 1 byte is left"):
        measure(UInt16()).read(b"abc", 2, {})


def test_a_length_is_not_negative() -> None:
    """A length that counts its header must count at least that."""
    with pytest.raises(Refusal, match="a length of at least 5, not 4"):
        measure("size", -5).read(FRAME, 0, {"size": 4})


def test_writing() -> None:
    """Only a number in front is written here; a field is written as a field."""
    assert measure(3).write(3) == b""
    assert measure("size").write(9) == b""
    assert measure(REST).write(9) == b""
    assert measure(UInt16()).write(9) == b"\0\x09"
    assert measure(UInt16(), -5).write(9) == b"\0\x0e"


def test_lengths_that_cannot_be_written() -> None:
    """What is longer than its number can say, or not as long as was declared."""
    with pytest.raises(Refusal, match="a length of 3, not 4"):
        measure(3).write(4)
    with pytest.raises(Refusal, match="a length of 0 to 255, not 256"):
        measure(UInt8()).write(256)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Bytes(-1), "Bytes: a length of -1"),
        (lambda: Repeat(cast("int", 2.5)), "Repeat: 2.5 is no length"),
        (lambda: Sized(3, adjust=1), "Sized.adjust: there is no field to adjust"),
        (lambda: Bytes(REST, adjust=1), "Bytes.adjust: there is no field to adjust"),
    ],
    ids=["negative", "no length", "fixed", "rest"],
)
def test_lengths_that_cannot_work(make: type[object], problem: str) -> None:
    """They are found where they are written."""
    with pytest.raises(ConfigurationError, match=problem):
        make()


def test_words_for_errors() -> None:
    """One byte is not 1 bytes."""
    assert [bytes_text(0), bytes_text(1), bytes_text(2)] == ["0 bytes", "1 byte", "2 bytes"]
    assert left_text(b"abc", 1) == "2 bytes are left"
