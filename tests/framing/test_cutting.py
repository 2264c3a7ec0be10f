"""The base of the decoders: held bytes, linear work, one frame at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import bytewise, outcome
from portcast.errors import FramingError, TruncatedFrameError
from portcast.framing.cutting import Buffer, CuttingDecoder, SingleFrameDecoder, find_marker, single_frame_decoder
from portcast.framing.line import LineFraming


class Digits(CuttingDecoder):
    """Frames of as many bytes as their first digit says; ``0`` is skipped, a letter is malformed. Counts its cuts."""

    def __init__(self) -> None:
        super().__init__()
        self.cuts = 0

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        self.cuts += 1
        if start == len(buffer):
            return start
        size = buffer[start] - 0x30
        if size > 9:
            self._fail(FramingError, "a digit", 1, buffer[start : start + 1])
            return start
        if size == 0:
            return self._synchronise(buffer, start, b"1")
        if start + size > len(buffer):
            self._need = size
            return start
        self._is_lost = False
        frames.append(bytes(buffer[start : start + size]))
        return start + size


class Wrapped:
    """A decoder of somebody else: the protocol and nothing more."""

    def __init__(self) -> None:
        self._inner = LineFraming().decoder()

    @property
    def error(self) -> FramingError | None:
        return self._inner.error

    @property
    def skipped_bytes(self) -> int:
        return self._inner.skipped_bytes

    @property
    def buffered(self) -> int:
        return self._inner.buffered

    def feed(self, data: bytes) -> list[bytes]:
        return self._inner.feed(data)

    def end(self) -> list[bytes]:
        return self._inner.end()


@given(st.lists(st.sampled_from([b"1", b"2a", b"3bc", b"9"]), max_size=20).map(b"".join), st.integers(1, 12))
def test_same_frames_for_any_piece_size(stream: bytes, size: int) -> None:
    """Small reads are cut in place and large ones in a copy, with the same result."""
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert outcome(Digits(), chunks) == outcome(Digits(), [stream])


def test_nothing_is_tried_before_enough_is_held() -> None:
    """While a frame's missing size is known, a read is only appended."""
    decoder = Digits()
    for byte in bytewise(b"9abcdefg"):
        decoder.feed(byte)
    assert decoder.cuts == 1
    assert decoder.feed(b"h") == [b"9abcdefgh"]
    assert decoder.buffered == 0


def test_good_frames_before_a_fault_are_returned() -> None:
    """The frames of the same read are delivered; the fault is final and nothing stays held."""
    decoder = Digits()
    assert decoder.feed(b"2a3bcZ1") == [b"2a", b"3bc"]
    assert isinstance(decoder.error, FramingError)
    assert decoder.buffered == 0
    assert decoder.feed(b"1") == []
    assert decoder.end() == []
    assert decoder.take(b"11", 1, []) == 2


def test_end_inside_a_frame() -> None:
    """A cut frame is an error that says what was missing and how much there was."""
    decoder = Digits()
    decoder.feed(b"3a")
    assert decoder.end() == []
    assert isinstance(decoder.error, TruncatedFrameError)
    assert (decoder.error.expected, decoder.error.size, decoder.error.head) == ("the rest of a frame", 2, b"3a")


class TestTake:
    def test_stops_behind_one_frame(self) -> None:
        """The bytes behind the frame are left to the caller."""
        frames: list[bytes] = []
        decoder = Digits()
        assert decoder.take(b"2a3bc", 0, frames) == 2
        assert decoder.is_between
        assert decoder.take(b"2a3bc", 2, frames) == 5
        assert frames == [b"2a", b"3bc"]

    def test_goes_on_with_what_is_held(self) -> None:
        """A frame may begin in one read and end in the middle of the next but one."""
        frames: list[bytes] = []
        decoder = Digits()
        assert decoder.take(b"x3", 1, frames) == 2
        assert not decoder.is_between
        assert decoder.take(b"a", 0, frames) == 1
        assert decoder.take(b"b2c", 0, frames) == 1
        assert frames == [b"3ab"]

    def test_keeps_what_follows_skipped_bytes(self) -> None:
        """A decoder that lost its marker gets the bytes up to its next frame."""
        frames: list[bytes] = []
        decoder = Digits()
        assert decoder.take(b"00", 0, frames) == 2
        assert not decoder.is_between
        assert decoder.take(b"12a", 0, frames) == 1
        assert (frames, decoder.skipped_bytes) == ([b"1"], 2)

    def test_fault(self) -> None:
        """A fault takes the whole read."""
        decoder = Digits()
        assert decoder.take(b"Zabc", 0, []) == 4
        assert decoder.error is not None


class TestSingleFrameDecoder:
    def test_own_decoders_are_used_as_they_are(self) -> None:
        """No wrapper where none is needed."""
        decoder = Digits()
        assert isinstance(decoder, SingleFrameDecoder)
        assert single_frame_decoder(decoder) is decoder

    def test_any_decoder_can_stop_after_one_frame(self) -> None:
        """A decoder that only knows `feed` is fed byte by byte."""
        decoder = single_frame_decoder(Wrapped())
        frames: list[bytes] = []
        assert decoder.is_between
        assert decoder.take(b"-ab", 1, frames) == 3
        assert (decoder.is_between, decoder.buffered, decoder.skipped_bytes) == (False, 2, 0)
        assert decoder.take(b"c\nde", 0, frames) == 2
        assert (decoder.is_between, frames) == (True, [b"abc"])
        assert decoder.feed(b"d") == []
        assert decoder.end() == []
        assert isinstance(decoder.error, TruncatedFrameError)

    def test_fault_of_any_decoder(self) -> None:
        """A fault takes the whole read."""
        wrapped = Wrapped()
        wrapped._inner = LineFraming(max_frame=1).decoder()
        decoder = single_frame_decoder(wrapped)
        assert decoder.take(b"abcdef", 0, []) == 6
        assert decoder.error is not None


def test_synchronise() -> None:
    """A decoder is lost from the first skipped byte until its whole marker is there."""
    decoder = CuttingDecoder()
    assert decoder._synchronise(b"xxab", 0, b"ab") == 2
    assert not decoder.is_between
    assert decoder._synchronise(b"xxa", 2, b"ab") == 2
    assert not decoder.is_between
    assert decoder._synchronise(b"xxab", 2, b"ab") == 2
    assert decoder.is_between
    assert decoder.skipped_bytes == 2


def test_cut_must_be_overridden() -> None:
    """The base class knows no format."""
    with pytest.raises(NotImplementedError):
        CuttingDecoder().feed(b"x")


@pytest.mark.parametrize(
    ("buffer", "start", "place"),
    [
        (b"..ab..ab", 0, 2),
        (b"..ab..ab", 3, 6),
        (b"....a", 0, 4),
        (b"....", 0, 4),
        (b"aab", 0, 1),
        (b"b", 0, 1),
        (b"a", 0, 0),
    ],
    ids=["first", "from the start index", "cut off", "none", "overlap", "only its end", "only its beginning"],
)
def test_find_marker(buffer: bytes, start: int, place: int) -> None:
    """A marker that the end of the buffer cuts off counts as found."""
    assert find_marker(buffer, start, b"ab") == place
