"""Frames of one size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, quick, splits
from portcast.errors import CodecError, ConfigurationError, TruncatedFrameError
from portcast.framing.fixed import FixedLengthFraming


def test_frames() -> None:
    """Every `size` bytes are a frame; the bound is the size."""
    framing = FixedLengthFraming(3)
    result = decode(framing, b"abcdefghi", end=True)
    assert (result.frames, result.error, framing.max_frame) == ([b"abc", b"def", b"ghi"], None, 3)


def test_truncated() -> None:
    """A rest is reported with what was missing."""
    result = decode(FixedLengthFraming(3), b"abcd", end=True)
    assert (result.frames, result.error) == ([b"abc"], TruncatedFrameError)
    assert "a frame of 3 bytes; saw 1 bytes" in result.message


def test_linear() -> None:
    """One byte at a time costs no more per byte for a long frame."""
    check_linear(FixedLengthFraming(100_000), b"")


@given(st.integers(1, 7), st.binary(max_size=40), splits())
@quick
def test_any_split(size: int, stream: bytes, places: list[int]) -> None:
    """Any bytes are frames, wherever reads end, and encoding gives them back."""
    framing = FixedLengthFraming(size)
    frames = check_any_split(framing, stream, places, 0).frames
    assert b"".join(map(framing.encode, frames)) == stream[: len(stream) // size * size]


def test_encode_refuses_another_size() -> None:
    """It would shift all later frames."""
    with pytest.raises(CodecError, match="2 bytes instead of 3"):
        FixedLengthFraming(3).encode(b"ab")


def test_configuration() -> None:
    """A frame has at least one byte."""
    with pytest.raises(ConfigurationError, match="size"):
        FixedLengthFraming(0)
