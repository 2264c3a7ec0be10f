"""LEB128 lengths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, quick, splits
from portcast.errors import ConfigurationError, FramingError, OversizeFrameError, TruncatedFrameError
from portcast.framing.varint import VarintFraming


@pytest.mark.parametrize(
    ("size", "prefix"),
    # Protocol Buffers, "Encoding": 150 is 96 01; the others are the borders of one and two bytes.
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (150, "9601"), (300, "ac02"), (16_384, "808001")],
)
def test_lengths(size: int, prefix: str) -> None:
    """Both ways."""
    frame = b"x" * size
    assert VarintFraming().encode(frame) == bytes.fromhex(prefix) + frame
    assert decode(VarintFraming(), bytes.fromhex(prefix) + frame, end=True).frames == [frame]


def test_padded_length() -> None:
    """More bytes than needed are read, as Protocol Buffers do."""
    assert decode(VarintFraming(), b"\x81\x80\x00a").frames == [b"a"]


def test_length_of_more_than_64_bits_is_malformed() -> None:
    """Ten bytes are the most."""
    result = decode(VarintFraming(), b"\x01a" + b"\xff" * 11)
    assert (result.frames, result.error) == ([b"a"], FramingError)
    assert "a length of at most 10 bytes" in result.message


def test_bound_is_checked_when_the_length_is_read() -> None:
    """The announced size is in the error; nothing is waited for."""
    assert decode(VarintFraming(3), b"\x03abc").frames == [b"abc"]
    result = decode(VarintFraming(3), b"\xff\xff\xff\xff\x0f")
    assert result.error is OversizeFrameError
    assert f"saw {0xFFFFFFFF} bytes" in result.message


@pytest.mark.parametrize(("stream", "expected"), [(b"\x80", "the rest of a length"), (b"\x03a", "a frame of 4 bytes")])
def test_truncated(stream: bytes, expected: str) -> None:
    """The error says whether the length or the frame was cut."""
    result = decode(VarintFraming(), stream, end=True)
    assert result.error is TruncatedFrameError
    assert f"expected {expected};" in result.message


def test_linear() -> None:
    """One byte at a time costs no more per byte for a long frame."""
    check_linear(VarintFraming(), b"\xff\xff\x03")


@given(garbage(b"\0", b"\1", b"\2", b"\x80", b"\x81\0", b"\xff" * 5), splits())
@quick
def test_any_split(stream: bytes, places: list[int]) -> None:
    """Frames, error and memory do not depend on where reads end."""
    check_any_split(VarintFraming(9), stream, places, 10)


@given(st.lists(st.binary(max_size=200), max_size=6), splits())
@quick
def test_round_trip(frames: list[bytes], places: list[int]) -> None:
    """Any bytes can be carried."""
    framing = VarintFraming()
    assert check_any_split(framing, b"".join(map(framing.encode, frames)), places, 10).frames == frames


def test_configuration() -> None:
    """The bound is at least a byte."""
    with pytest.raises(ConfigurationError, match="max_frame"):
        VarintFraming(0)
