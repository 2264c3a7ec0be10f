"""Consistent overhead byte stuffing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, quick, splits
from portcast.errors import ConfigurationError, FramingError, OversizeFrameError, TruncatedFrameError
from portcast.framing.cobs import CobsFraming

RUN = bytes(range(1, 255))


@pytest.mark.parametrize(
    ("frame", "stuffed"),
    [
        # Worked out by hand from the rules in Cheshire and Baker, "Consistent Overhead Byte Stuffing".
        (b"", b"\x01"),
        (b"\0", b"\x01\x01"),
        (b"\0\0", b"\x01\x01\x01"),
        (b"\x11\x22\0\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\0\0\0", b"\x02\x11\x01\x01\x01"),
        (RUN[:253], b"\xfe" + RUN[:253]),
        (RUN + b"\xff", b"\xff" + RUN + b"\x02\xff"),
        (RUN + b"\0", b"\xff" + RUN + b"\x01\x01"),
    ],
    ids=["empty", "zero", "zeros", "inside", "behind", "253", "255", "254 and zero"],
)
def test_examples(frame: bytes, stuffed: bytes) -> None:
    """Both ways."""
    assert CobsFraming().encode(frame) == stuffed + b"\0"
    assert decode(CobsFraming(), stuffed + b"\0", end=True).frames == [frame]


def test_group_of_254_at_the_end() -> None:
    """Encoders differ on whether an empty group follows; both are read."""
    assert decode(CobsFraming(), b"\xff" + RUN + b"\0").frames == [RUN]
    assert decode(CobsFraming(), b"\xff" + RUN + b"\x01\0").frames == [RUN]


def test_repeated_zeros_are_one_end() -> None:
    """A zero in front of a frame flushes noise."""
    assert decode(CobsFraming(), b"\0\0\x02a\0\0\x02b\0", end=True).frames == [b"a", b"b"]


def test_group_that_is_cut_is_malformed() -> None:
    """The frames before it are delivered."""
    result = decode(CobsFraming(), b"\x02a\0\x05ab\0\x02b\0")
    assert (result.frames, result.error) == ([b"a"], FramingError)
    assert "a group of 5 bytes before the zero byte" in result.message


@pytest.mark.parametrize("size", [5, 254, 600])
def test_bound_is_exact(size: int) -> None:
    """A frame of the bound passes with any content; one byte more does not, and no end is needed to see that."""
    framing = CobsFraming(size)
    for fill in (b"a", b"\0"):
        assert decode(framing, framing.encode(fill * size)).frames == [fill * size]
        assert decode(framing, framing.encode(fill * (size + 1))).error is OversizeFrameError
    assert check_any_split(framing, b"\xff" * 1000, [], 4).error is OversizeFrameError


def test_frame_above_the_bound_within_the_stuffed_bound() -> None:
    """The frame itself is measured too: 254 bytes without a zero need no second code byte."""
    assert decode(CobsFraming(253), b"\xff" + RUN + b"\0").error is OversizeFrameError


def test_truncated() -> None:
    """A frame without its zero is not delivered."""
    assert decode(CobsFraming(), b"\x02a", end=True).error is TruncatedFrameError


def test_linear() -> None:
    """One byte at a time costs no more per byte for a long frame."""
    check_linear(CobsFraming(), b"\xff")


@given(garbage(b"\0", b"\1", b"\2", b"\3a", b"\xff"), splits())
@quick
def test_any_split(stream: bytes, places: list[int]) -> None:
    """Frames, error and memory do not depend on where reads end."""
    check_any_split(CobsFraming(5), stream, places, 1)


@given(st.lists(st.one_of(st.binary(max_size=20), st.integers(250, 520).map(lambda size: b"x" * size)), max_size=4))
@quick
def test_round_trip(frames: list[bytes]) -> None:
    """Any bytes can be carried, and no zero byte but the end is written."""
    framing = CobsFraming()
    assert all(framing.encode(frame).find(0) == len(framing.encode(frame)) - 1 for frame in frames)
    assert check_any_split(framing, b"".join(map(framing.encode, frames)), [100], 300).frames == frames


def test_configuration() -> None:
    """The bound is at least a byte."""
    with pytest.raises(ConfigurationError, match="max_frame"):
        CobsFraming(0)
