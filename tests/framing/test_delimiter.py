"""Delimiters of the user's choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, quick, splits
from portcast.errors import CodecError, ConfigurationError, OversizeFrameError, TruncatedFrameError
from portcast.framing.delimited import OnOversize
from portcast.framing.delimiter import DelimiterFraming


@pytest.mark.parametrize(
    ("framing", "stream", "frames"),
    [
        (DelimiterFraming(b"#"), b"a#b##", [b"a", b"b", b""]),
        (DelimiterFraming(b"##"), b"a#b##c###", [b"a#b", b"c"]),
        (DelimiterFraming((b"#", b";")), b"a#b;c#", [b"a", b"b", b"c"]),
        (DelimiterFraming((b"\r", b"\r\n")), b"a\r\nb\rc\r\n", [b"a", b"b", b"c"]),
        (DelimiterFraming((b"b", b"ab#")), b"xab#yb", [b"x", b"y"]),
        (DelimiterFraming((b"b", b"ab#")), b"xab!", [b"xa"]),
        (DelimiterFraming(b"#", keep_delimiter=True), b"a#b#", [b"a#", b"b#"]),
        (DelimiterFraming((b";", b"\r\n"), keep_delimiter=True), b"a;b\r\n", [b"a;", b"b\r\n"]),
        (DelimiterFraming(b"#", start=b"*"), b"#??*a#!#*b*c#", [b"*a", b"*b*c"]),
        (DelimiterFraming(b"]", start=b"[["), b"[x[[a][", [b"[[a"]),
    ],
    ids=["one", "two bytes", "several", "longest", "earliest", "not earliest", "keep", "keep several", "start", "long"],
)
def test_rules(framing: DelimiterFraming, stream: bytes, frames: list[bytes]) -> None:
    """The earliest delimiter ends the frame, the longest of those at its place is taken."""
    assert decode(framing, stream).frames == frames


def test_h02_text_frame() -> None:
    """A position of the H02 tracker protocol, framed as traccar does: from ``*`` to ``#``."""
    frame = b"*HQ,4106012736,V1,224434,A,1826.5052,N,06703.9298,W,000.00,302,200114,FFFFFFFF"
    framing = DelimiterFraming(b"#", start=b"*")
    assert decode(framing, b"\0\0" + frame + b"#" + frame + b"#").frames == [frame, frame]


def test_skipped_bytes_are_counted() -> None:
    """What lies before a start marker is counted, also half a marker at the end of the stream."""
    result = decode(DelimiterFraming(b"]", start=b"[["), b"ab[[x]cd[e[[y][", end=True)
    assert (result.frames, result.error, result.skipped) == ([b"[[x", b"[[y"], None, 7)


def test_delimiter_that_another_one_continues_is_known_at_the_end() -> None:
    r"""A lone ``\r`` waits for its ``\n``; the end of the stream is an answer too."""
    decoder = DelimiterFraming((b"\r", b"\r\n")).decoder()
    assert decoder.feed(b"a\r") == []
    assert decoder.end() == [b"a"]
    assert decoder.error is None


@pytest.mark.parametrize("delimiter", [b"#", (b"#", b"\r\n")], ids=["one", "several"])
class TestBound:
    def test_exact(self, delimiter: bytes | tuple[bytes, ...]) -> None:
        """A frame of the bound passes; one byte more does not."""
        result = decode(DelimiterFraming(delimiter, max_frame=5), b"abcde#abcdef#a#")
        assert (result.frames, result.error) == ([b"abcde"], OversizeFrameError)

    def test_keep_counts_the_delimiter(self, delimiter: bytes | tuple[bytes, ...]) -> None:
        """No frame is delivered that is longer than the bound."""
        framing = DelimiterFraming(delimiter, keep_delimiter=True, max_frame=7)
        longest = 5 if isinstance(delimiter, tuple) else 6
        assert decode(framing, b"x" * longest + b"#").frames == [b"x" * longest + b"#"]
        assert decode(framing, b"x" * (longest + 1) + b"#").error is OversizeFrameError

    def test_discard(self, delimiter: bytes | tuple[bytes, ...]) -> None:
        """A long frame costs itself."""
        framing = DelimiterFraming(delimiter, max_frame=5, on_oversize="discard")
        result = decode(framing, b"a#" + b"x" * 20 + b"#b#", end=True)
        assert (result.frames, result.error, result.skipped) == ([b"a", b"b"], None, 20)

    def test_truncated(self, delimiter: bytes | tuple[bytes, ...]) -> None:
        """A frame without its delimiter is not delivered."""
        assert decode(DelimiterFraming(delimiter), b"abc", end=True).error is TruncatedFrameError

    def test_linear(self, delimiter: bytes | tuple[bytes, ...]) -> None:
        """One byte at a time costs no more per byte for a long frame."""
        check_linear(DelimiterFraming(delimiter), b"")
        check_linear(DelimiterFraming(delimiter, start=b"*"), b"*")


def test_discard_and_resynchronise() -> None:
    """After a long frame the start marker is looked for again, and a delimiter inside a marker's length ends it."""
    framing = DelimiterFraming(b"#", start=b"*+*", max_frame=6, on_oversize="discard")
    result = decode(framing, b"*+*abcdefgh#??*+*a#", end=True)
    assert (result.frames, result.skipped, result.error) == ([b"*+*a"], 13, None)


def test_fault_at_the_end() -> None:
    """A delimiter that is only certain at the end may end a frame that is too long."""
    result = decode(DelimiterFraming((b"#", b"#;;"), max_frame=2), b"abc#", end=True)
    assert result.error is OversizeFrameError


FRAMINGS = [
    (b"#", b""),
    (b"##", b""),
    ((b"\r", b"\r\n"), b"*"),
    ((b"#", b"ab#", b";;"), b""),
    ((b"#;#", b";"), b"*+"),
]


@given(
    st.sampled_from(FRAMINGS),
    st.booleans(),
    st.sampled_from(["close", "discard"]),
    garbage(b"#", b"##", b";", b"\r", b"\n", b"ab#", b"a", b"*", b"*+"),
    splits(),
)
@quick
def test_any_split(
    what: tuple[bytes | tuple[bytes, ...], bytes],
    keep: bool,
    on_oversize: OnOversize,
    stream: bytes,
    places: list[int],
) -> None:
    """Frames, error, memory and the count of skipped bytes do not depend on where reads end."""
    framing = DelimiterFraming(what[0], keep, what[1], 8, on_oversize)
    check_any_split(framing, stream, places, 3)


@given(st.sampled_from([b"#", b"##", b"#;#"]), st.booleans(), st.lists(garbage(b"#", b";", max_size=5)), splits())
@quick
def test_round_trip(delimiter: bytes, keep: bool, frames: list[bytes], places: list[int]) -> None:
    """What can be encoded is decoded to the same frames; what cannot holds a piece of the delimiter."""
    framing = DelimiterFraming(delimiter, keep)
    stream, sent = b"", []
    for frame in frames:
        try:
            stream += framing.encode(frame)
        except CodecError:
            assert b"#" in frame
        else:
            sent.append(frame if not keep or frame.endswith(delimiter) else frame + delimiter)
    assert check_any_split(framing, stream, places, 3).frames == sent


@pytest.mark.parametrize(
    ("framing", "frame"),
    [
        (DelimiterFraming(b"#"), b"a#b"),
        (DelimiterFraming(b"##"), b"a#"),
        (DelimiterFraming((b"#", b"a")), b"a"),
        (DelimiterFraming(b"#", start=b"*"), b"a"),
        (DelimiterFraming(b"#", keep_delimiter=True), b"a#b#"),
    ],
    ids=["inside", "together", "another one", "no start", "kept"],
)
def test_encode_refuses(framing: DelimiterFraming, frame: bytes) -> None:
    """A frame that would arrive as two, or as none, is not sent."""
    with pytest.raises(CodecError):
        framing.encode(frame)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"delimiter": b""}, "delimiter"),
        ({"delimiter": ()}, "delimiter"),
        ({"delimiter": (b"#", b"")}, "delimiter"),
        ({"delimiter": "#"}, "delimiter"),
        ({"delimiter": b"#", "start": b"*#"}, "start"),
        ({"delimiter": b"#", "start": "*"}, "start"),
        ({"delimiter": b"#", "max_frame": 0}, "max_frame"),
        ({"delimiter": b"##", "keep_delimiter": True, "max_frame": 2}, "max_frame"),
        ({"delimiter": b"#", "start": b"***", "max_frame": 3}, "max_frame"),
        ({"delimiter": b"#", "on_oversize": "drop"}, "on_oversize"),
    ],
)
def test_configuration(options: dict[str, object], key: str) -> None:
    """Impossible configurations are refused when they are built, with the option's name."""
    with pytest.raises(ConfigurationError) as caught:
        DelimiterFraming(**options)  # type: ignore[arg-type] # what an untyped caller may write
    assert caught.value.key == key


def test_single_delimiter_decoder_keeps_its_error() -> None:
    """After a fault nothing more is returned."""
    decoder = DelimiterFraming(b"#", max_frame=2).decoder()
    assert decoder.feed(b"a#abc#b#") == [b"a"]
    assert decoder.feed(b"c#") == []
