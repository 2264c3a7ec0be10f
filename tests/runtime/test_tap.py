from __future__ import annotations

import pytest

from portcast.errors import FramingError
from portcast.framing import FixedLengthFraming, FrameDecoder, Framing, LineFraming
from portcast.runtime.tap import TappedDecoder
from portcast.testing import check_framing, splits


class Shown:
    """A tap that keeps what it is shown."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.faults: list[tuple[bytes, int, str]] = []

    def received(self, frames: list[bytes]) -> None:
        self.frames += frames

    def refused(self, data: bytes, size: int, detail: str) -> None:
        self.faults.append((data, size, detail))

    def sent(self, frame: bytes) -> None:
        raise AssertionError("a decoder sends nothing")


def tapped(framing: Framing, max_bytes: int = 100) -> tuple[TappedDecoder, Shown]:
    shown = Shown()
    return TappedDecoder(framing.decoder(), shown, max_bytes), shown


class _Tapped(LineFraming):
    """A framing whose decoders are tapped."""

    def decoder(self) -> FrameDecoder:
        return tapped(LineFraming(max_frame=self.max_frame))[0]


def test_it_is_a_decoder_like_its_inner_one() -> None:
    """The contract of framings holds of a tapped one, at every split."""
    check_framing(_Tapped(max_frame=20), valid=[b"\na\n", b"one\r\ntwo\n"], invalid=[b"x" * 30])


def test_frames_are_shown_as_they_are_handled() -> None:
    """However the bytes come, and those that the end of the stream completes, too."""
    for split in splits(b"one\ntwo\nrest"):
        decoder, shown = tapped(LineFraming())
        frames = [frame for piece in split for frame in decoder.feed(piece)]
        assert (decoder.buffered, decoder.skipped_bytes) == (4, 0)
        frames += decoder.end()
        assert frames == shown.frames
        assert frames[:2] == [b"one", b"two"]


def test_what_the_framing_refused_is_shown_with_what_it_held() -> None:
    """From the beginning of the frame that went wrong, if no good one ended in the same read."""
    decoder, shown = tapped(LineFraming(max_frame=6))
    assert decoder.feed(b"good\n12") == [b"good"]
    assert decoder.feed(b"34") == []
    assert decoder.feed(b"56789") == []
    ((data, size, detail),) = shown.faults
    assert (data, size) == (b"123456789", 9)
    assert detail == str(decoder.error)
    assert isinstance(decoder.error, FramingError)


def test_a_good_frame_in_the_same_read_is_shown_with_them() -> None:
    """Nobody but the decoder knows where in the read it ended."""
    decoder, shown = tapped(LineFraming(max_frame=6))
    decoder.feed(b"go")
    assert decoder.feed(b"od\n123456789") == [b"good"]
    assert [(data, size) for data, size, _ in shown.faults] == [(b"od\n123456789", 12)]


def test_a_truncated_frame_is_shown_at_the_end() -> None:
    """What the device began and did not finish."""
    decoder, shown = tapped(FixedLengthFraming(4))
    decoder.feed(b"1234")
    decoder.feed(b"56")
    assert decoder.end() == []
    assert [(data, size) for data, size, _ in shown.faults] == [(b"56", 2)]


def test_only_the_beginning_of_an_unfinished_frame_is_remembered() -> None:
    """A frame of a megabyte in small pieces must not be copied again with each of them."""
    decoder, shown = tapped(LineFraming(max_frame=50), max_bytes=5)
    for number in range(6):
        decoder.feed(b"%d123456789" % number)
        assert len(decoder._held) <= 5
    ((data, size, _),) = shown.faults
    assert (data[:5], size) == (b"01234", 60)


def test_what_was_held_before_the_tap_is_not_shown() -> None:
    """It begins in the midst of a frame; what is known of it is shown."""
    inner = LineFraming(max_frame=6).decoder()
    inner.feed(b"123")
    shown = Shown()
    decoder = TappedDecoder(inner, shown, 100)
    decoder.feed(b"45")
    decoder.feed(b"6789")
    assert shown.faults[0][0] == b"456789"


class Failing:
    """A user's decoder that raises."""

    error = None
    skipped_bytes = buffered = 0

    def feed(self, data: bytes) -> list[bytes]:
        raise LookupError("no such thing")

    def end(self) -> list[bytes]:
        raise LookupError("no end")


def test_a_decoder_that_raises_is_shown_and_raises() -> None:
    """The connection deals with it; the bytes that did it are kept."""
    shown = Shown()
    decoder = TappedDecoder(Failing(), shown, 100)
    with pytest.raises(LookupError):
        decoder.feed(b"abc")
    with pytest.raises(LookupError):
        decoder.end()
    assert shown.faults == [
        (b"abc", 3, "the framing raised LookupError: no such thing"),
        (b"", 0, "the framing raised LookupError: no end"),
    ]
