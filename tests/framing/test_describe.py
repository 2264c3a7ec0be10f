"""Short texts for people."""

from __future__ import annotations

import pytest

from portcast.framing.ascii_length import AsciiLengthFraming
from portcast.framing.base import Framing
from portcast.framing.checksum import ChecksumFraming
from portcast.framing.custom import CustomFraming
from portcast.framing.delimiter import DelimiterFraming
from portcast.framing.describe import bytes_text, describe
from portcast.framing.first_byte import FirstByteFraming
from portcast.framing.fixed import FixedLengthFraming
from portcast.framing.length_field import LengthFieldFraming
from portcast.framing.line import LineFraming
from portcast.framing.marked import MarkedFraming
from portcast.framing.raw import RawFraming
from portcast.framing.registry import FRAMING_NAMES, framing_from_options


class Gt06(CustomFraming):
    max_frame = 1000


def first(header: bytes) -> int:
    return header[0]


@pytest.mark.parametrize(
    ("framing", "text"),
    [
        (LineFraming(), "lines, lf, max 64 KiB"),
        (LineFraming("any", strip=True, max_frame=100), "lines, any, strip, max 100 bytes"),
        (DelimiterFraming((b"\r\n", b",")), r"delimiter, delimiter=\r\n,\,, max 64 KiB"),
        (DelimiterFraming(b"#", start=b"\x01*"), r"delimiter, delimiter=#, start=\x01*, max 64 KiB"),
        (FixedLengthFraming(32), "fixed, 32 bytes"),
        (LengthFieldFraming(byte_order="little"), "length_field, byte_order=little, max 64 KiB"),
        (LengthFieldFraming(length=first, header_size=1), "length_field, length=first, header_size=1, max 64 KiB"),
        (AsciiLengthFraming(b":", leading_zeros=False), "ascii_length, separator=:, leading_zeros=false, max 64 KiB"),
        (MarkedFraming.mllp(), "mllp, max 1 MiB"),
        (MarkedFraming.slip(100), "slip, max 100 bytes"),
        (MarkedFraming(b"]", b"["), "marked, end=], start=[, max 64 KiB"),
        (RawFraming(), "raw, max 64 KiB"),
        (ChecksumFraming(LineFraming(), "nmea"), "lines, lf, max 64 KiB, checksum=nmea"),
        (
            ChecksumFraming(FixedLengthFraming(8), "crc32", skip=1, strip=False),
            "fixed, 8 bytes, checksum=crc32, checksum_skip=1, checksum_strip=false",
        ),
        (Gt06(), "Gt06, max 1000 bytes"),
        (
            FirstByteFraming({b"*": LineFraming(), b"\xff": FixedLengthFraming(1)}, default=FixedLengthFraming(2)),
            r"first_byte, * (lines, lf, max 64 KiB), \xff (fixed, 1 byte), else (fixed, 2 bytes)",
        ),
    ],
)
def test_texts(framing: Framing, text: str) -> None:
    """The name, what differs from the defaults, the bound."""
    assert describe(framing) == text


@pytest.mark.parametrize("name", FRAMING_NAMES)
def test_names_are_those_of_the_registry(name: str) -> None:
    """What a user wrote is what the start block shows."""
    required: dict[str, dict[str, str]] = {
        "delimiter": {"delimiter": "#"},
        "fixed": {"size": "3"},
        "marked": {"end": "#"},
    }
    assert describe(framing_from_options(name, required.get(name, {}))).startswith(name + ", ")


def test_first_byte_without_default() -> None:
    """Bytes of one framing stand together."""
    framing = FirstByteFraming({b"$X": FixedLengthFraming(3)})
    assert describe(framing) == "first_byte, $X (fixed, 3 bytes)"


def test_bytes_text() -> None:
    """It can be pasted into a URL key."""
    assert bytes_text(b"a#\r\n\t\0\\\x7e\x7f\xff") == r"a#\r\n\t\0\\~\x7f\xff"
