"""Lines: every ending, bounds, and independence of where reads end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, outcome, quick, splits
from portcast.errors import CodecError, ConfigurationError, OversizeFrameError, TruncatedFrameError
from portcast.framing.delimited import OnOversize
from portcast.framing.line import Ending, LineFraming

# Examples of NMEA 0183 sentences as in the gpsd project's "NMEA Revealed".
NMEA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"


@pytest.mark.parametrize(
    ("ending", "stream", "frames"),
    [
        ("lf", b"a\nb\n", [b"a", b"b"]),
        ("lf", b"a\r\nb\n", [b"a", b"b"]),
        ("lf", b"a\r\r\n\r\n", [b"a\r", b""]),
        ("lf", b"a\rb\n", [b"a\rb"]),
        ("lf", b"\r\n\n", [b"", b""]),
        ("crlf", b"a\r\nb\r\n", [b"a", b"b"]),
        ("crlf", b"a\nb\rc\r\n", [b"a\nb\rc"]),
        ("crlf", b"a\r\r\n", [b"a\r"]),
        ("crlf", b"\n\r\n", [b"\n"]),
        ("cr", b"a\rb\n\r", [b"a", b"b\n"]),
        ("any", b"a\nb\rc\r\nd\n", [b"a", b"b", b"c", b"d"]),
        ("any", b"a\n\rb\r\r\n", [b"a", b"", b"b", b""]),
        ("any", b"\r\n\r\n", [b"", b""]),
        ("any", b"a\x0bb\x0c\x85\xe2\x80\xa8c\n", [b"a\x0bb\x0c\x85\xe2\x80\xa8c"]),
    ],
)
def test_endings(ending: Ending, stream: bytes, frames: list[bytes]) -> None:
    """What ends a line and what stays in it, as the table in the documentation says, for every split."""
    result = decode(LineFraming(ending=ending), stream, end=True)
    assert (result.frames, result.error) == (frames, None)


def test_any_delivers_at_a_carriage_return() -> None:
    r"""A device that ends in ``\r`` is answered at once; the ``\n`` that may follow begins no line."""
    decoder = LineFraming(ending="any").decoder()
    assert decoder.feed(b"a\r") == [b"a"]
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"\nb\r") == [b"", b"b"]
    assert decoder.feed(b"\nc\n") == [b"c"]
    assert decoder.buffered == 0


def test_any_discards_to_any_ending() -> None:
    """A lone carriage return ends a line that is too long, too."""
    framing = LineFraming(ending="any", max_frame=5, on_oversize="discard")
    result = decode(framing, b"x" * 9 + b"\rab\rcd\n", end=True)
    assert (result.frames, result.error, result.skipped) == ([b"ab", b"cd"], None, 9)


def test_nmea_sentence() -> None:
    """NMEA 0183 ends each sentence in CR LF; strict and lenient framings agree."""
    for ending in ("lf", "crlf", "any"):
        assert decode(LineFraming(ending=ending), NMEA + b"\r\n" + NMEA + b"\r\n").frames == [NMEA, NMEA]


@pytest.mark.parametrize(
    ("framing", "frames"),
    [
        (LineFraming(strip=True), [b"a b", b"", b""]),
        (LineFraming(skip_empty=True), [b" a b ", b"\t"]),
        (LineFraming(strip=True, skip_empty=True), [b"a b"]),
        (LineFraming(ending="any", strip=True, skip_empty=True), [b"a b"]),
    ],
    ids=["strip", "skip_empty", "both", "any"],
)
def test_strip_and_skip_empty(framing: LineFraming, frames: list[bytes]) -> None:
    """Whitespace goes at both ends, then empty lines."""
    assert decode(framing, b" a b \n\n\t\n").frames == frames


@pytest.mark.parametrize("ending", ["lf", "crlf", "cr", "any"])
class TestBound:
    def test_exact(self, ending: Ending) -> None:
        """A line of the bound passes with any ending, one byte more is oversize; lines before it are delivered."""
        framing = LineFraming(ending=ending, max_frame=40)
        end = framing.encode(b"")
        result = decode(framing, b"a" * 40 + end + b"b" * 41 + end + b"c" + end)
        assert (result.frames, result.error) == ([b"a" * 40], OversizeFrameError)

    def test_without_an_end(self, ending: Ending) -> None:
        """The bound does not wait for an ending, and little more than it is held."""
        result = check_any_split(LineFraming(ending=ending, max_frame=5), b"abcdefgh", [], 1)
        assert result.error is OversizeFrameError

    def test_discard(self, ending: Ending) -> None:
        """The long line is dropped and counted without its ending; the next one is delivered."""
        framing = LineFraming(ending=ending, max_frame=5, on_oversize="discard")
        end = framing.encode(b"")
        result = decode(framing, end.join((b"abcde", b"abcdef", b"x" * 30, b"z", b"")), end=True)
        assert (result.frames, result.error, result.skipped) == ([b"abcde", b"z"], None, 36)

    def test_many_lines_in_one_read(self, ending: Ending) -> None:
        """A read larger than the bound is no reason to refuse its short lines."""
        framing = LineFraming(ending=ending, max_frame=10)
        end = framing.encode(b"")
        decoder = framing.decoder()
        assert decoder.feed((b"abc" + end) * 100 + b"rest") == [b"abc"] * 100
        assert decoder.feed(b"!" + end) == [b"rest!"]

    def test_linear(self, ending: Ending) -> None:
        """One byte at a time costs no more per byte for a long line."""
        decoder = check_linear(LineFraming(ending=ending), b"")
        assert len(decoder.feed(LineFraming(ending=ending).encode(b""))[0]) == 60_100

    def test_truncated(self, ending: Ending) -> None:
        """A last line without an ending is not a frame."""
        result = decode(LineFraming(ending=ending), b"abc", end=True)
        assert (result.frames, result.error) == ([], TruncatedFrameError)

    def test_keep_last(self, ending: Ending) -> None:
        """Unless it was asked for; the rules of other lines apply to it."""
        assert decode(LineFraming(ending=ending, keep_last=True), b"abc", end=True).frames == [b"abc"]
        framing = LineFraming(ending=ending, keep_last=True, strip=True, skip_empty=True)
        result = decode(framing, b"  ", end=True)
        assert (result.frames, result.error) == ([], None)
        assert decode(framing, b"", end=True).error is None


@pytest.mark.parametrize("ending", ["lf", "crlf"])
def test_keep_last_drops_half_an_ending(ending: Ending) -> None:
    r"""A line of the bound whose ``\n`` never came is still within the bound; a longer one is not."""
    framing = LineFraming(ending=ending, keep_last=True, max_frame=3)
    assert decode(framing, b"abc\r", end=True).frames == [b"abc"]
    assert decode(framing, b"abcd", end=True).error is OversizeFrameError


def test_keep_last_does_not_keep_what_is_discarded() -> None:
    """The end of a line that was too long is not a line."""
    framing = LineFraming(keep_last=True, max_frame=3, on_oversize="discard")
    result = decode(framing, b"abcdefgh", end=True)
    assert (result.frames, result.error, result.skipped) == ([], TruncatedFrameError, 8)


def test_repeated_line_feeds_in_strict_mode_are_linear() -> None:
    r"""A read that begins with ``\n`` is joined to what is held only if a ``\r`` waits for it."""
    check_linear(LineFraming(ending="crlf"), b"", b"\n")
    check_linear(LineFraming(ending="lf"), b"", b"\r")


@given(
    st.sampled_from(["lf", "crlf", "cr", "any"]),
    st.sampled_from(["close", "discard"]),
    st.booleans(),
    st.booleans(),
    garbage(b"\r", b"\n", b"\r\n", b" ", b"abc", b"abcde"),
    splits(),
)
@quick
def test_any_split(
    ending: Ending, on_oversize: OnOversize, strip: bool, keep_last: bool, stream: bytes, places: list[int]
) -> None:
    """Frames, error, memory and the count of skipped bytes do not depend on where reads end."""
    framing = LineFraming(ending, strip, not strip, 5, keep_last, on_oversize)
    check_any_split(framing, stream, places, 1)


@given(st.sampled_from(["lf", "crlf", "cr", "any"]), st.lists(st.binary(max_size=12), max_size=8), splits())
@quick
def test_round_trip(ending: Ending, frames: list[bytes], places: list[int]) -> None:
    """What can be encoded is decoded to the same frames; what cannot is refused."""
    framing = LineFraming(ending=ending)
    stream, sent = b"", []
    for frame in frames:
        try:
            stream += framing.encode(frame)
        except CodecError:
            assert b"\r" in frame or b"\n" in frame
        else:
            sent.append(frame)
    assert check_any_split(framing, stream, places, 1).frames == sent


@pytest.mark.parametrize(
    ("ending", "frame"),
    [("lf", b"a\nb"), ("lf", b"a\r"), ("crlf", b"a\r\nb"), ("cr", b"\r"), ("any", b"a\n"), ("any", b"a\r")],
)
def test_encode_refuses_endings(ending: Ending, frame: bytes) -> None:
    """A frame that would arrive as two, or changed, is not sent."""
    with pytest.raises(CodecError, match="line ending"):
        LineFraming(ending=ending).encode(frame)


@pytest.mark.parametrize(
    "build",
    [
        lambda: LineFraming(max_frame=0),
        lambda: LineFraming(ending="LF"),  # type: ignore[arg-type] # what an untyped caller may write
        lambda: LineFraming(on_oversize="drop"),  # type: ignore[arg-type] # what an untyped caller may write
    ],
    ids=["max_frame", "ending", "on_oversize"],
)
def test_configuration(build: type[LineFraming]) -> None:
    """Impossible configurations are refused when they are built."""
    with pytest.raises(ConfigurationError):
        build()


def test_error_is_sticky_on_every_path() -> None:
    """After a fault nothing more is returned, whatever comes."""
    for ending in ("lf", "any"):
        decoder = LineFraming(ending=ending, max_frame=2).decoder()
        assert outcome(decoder, [b"a\n", b"abc\n", b"b\n"]).frames == [b"a"]
