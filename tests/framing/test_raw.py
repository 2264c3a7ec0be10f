"""Every read as it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.errors import ConfigurationError
from portcast.framing.raw import RawFraming


def test_reads_are_frames() -> None:
    """Nothing is held, joined or lost."""
    decoder = RawFraming().decoder()
    assert decoder.feed(b"a\nb") == [b"a\nb"]
    assert decoder.feed(b"") == []
    assert (decoder.buffered, decoder.error, decoder.skipped_bytes, decoder.end()) == (0, None, 0, [])


@given(st.binary(max_size=30), st.integers(1, 8))
def test_large_reads_come_in_pieces(data: bytes, size: int) -> None:
    """No frame is larger than the bound, and together they are the stream."""
    frames = RawFraming(size).decoder().feed(data)
    assert b"".join(frames) == data
    assert all(0 < len(frame) <= size for frame in frames)


def test_encode() -> None:
    """As it is."""
    assert RawFraming().encode(b"abc") == b"abc"


def test_configuration() -> None:
    """The bound is at least a byte."""
    with pytest.raises(ConfigurationError, match="max_frame"):
        RawFraming(0)
