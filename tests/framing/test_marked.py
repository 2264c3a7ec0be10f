"""Start and end markers and escapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, quick, splits
from portcast.errors import CodecError, ConfigurationError, FramingError, OversizeFrameError, TruncatedFrameError
from portcast.framing.marked import MarkedFraming

BRACKETS = MarkedFraming(end=b"]]", start=b"[[")


@pytest.mark.parametrize(
    ("framing", "wire", "frame"),
    [
        # JT/T 808, "transfer meaning": the standard gives these five bytes and their escaped form.
        (MarkedFraming.jt808(), "7e 30 7d 02 08 7d 01 55 7e", "30 7e 08 7d 55"),
        # RFC 1055: END becomes ESC ESC_END, ESC becomes ESC ESC_ESC.
        (MarkedFraming.slip(), "01 db dc 02 db dd c0", "01 c0 02 db"),
        # RFC 1662 §4.2: 0x7E is 7D 5E, 0x7D is 7D 5D.
        (MarkedFraming.hdlc(), "7e ff 7d 5e 03 7d 5d 7e", "ff 7e 03 7d"),
        (MarkedFraming.mllp(), "0b 4d 53 48 7c 0d 1c 0d", "4d 53 48 7c 0d"),
    ],
    ids=["jt808", "slip", "hdlc", "mllp"],
)
def test_specifications(framing: MarkedFraming, wire: str, frame: str) -> None:
    """The escapes of each specification, both ways."""
    assert decode(framing, bytes.fromhex(wire) * 2, end=True).frames == [bytes.fromhex(frame)] * 2
    assert framing.encode(bytes.fromhex(frame)) == bytes.fromhex(wire)


def test_hl7_over_mllp() -> None:
    """HL7 v2 segments end in CR; the block ends in FS CR ("Minimal Lower Layer Protocol", release 1). 1 MiB fits."""
    message = b"MSH|^~\\&|LAB|HOSP|EHR|HOSP|20240101120000||ORU^R01|42|P|2.5\rPID|1||12345\rOBX|1|NM|GLU||98\r"
    framing = MarkedFraming.mllp()
    assert framing.max_frame == 1 << 20
    result = decode(framing, b"\r\n\x0b" + message + b"\x1c\r\n\x0b" + message + b"\x1c\r", end=True)
    assert (result.frames, result.error, result.skipped) == ([message, message], None, 3)


def test_hdlc_byte_that_was_escaped_without_need() -> None:
    """RFC 1662 §4.2: a receiver undoes every escape, also of control characters (0x03 as 7D 23)."""
    assert decode(MarkedFraming.hdlc(), b"~\x7d\x23\x7d}~").frames == [b"\x03]"]


@pytest.mark.parametrize(
    ("framing", "stream", "frames", "skipped"),
    [
        (MarkedFraming.jt808(), b"xx~a~~b~", [b"a", b"b"], 2),
        (MarkedFraming.hdlc(), b"~a~b~~~c~~", [b"a", b"b", b"c"], 0),
        (MarkedFraming.slip(), b"\xc0\xc0a\xc0\xc0b\xc0", [b"a", b"b"], 0),
        (MarkedFraming.mllp(), b"\x0b\x1c\r\x0b\x0ba\x1c\x1c\r", [b"", b"\x0ba\x1c"], 0),
        (BRACKETS, b"a[[x]y]][b[[[]]]", [b"x]y", b"["], 4),
        (MarkedFraming(end=b"##", start=b"##"), b"#a##b##c####d##", [b"b", b"c", b"d"], 2),
        (MarkedFraming.hdlc(), b"~ab}~c~", [b"c"], 3),
    ],
    ids=["skip", "shared flags", "slip flush", "mllp", "long markers", "long flag", "abort"],
)
def test_between_frames(framing: MarkedFraming, stream: bytes, frames: list[bytes], skipped: int) -> None:
    """Which bytes are skipped, which flags are shared, and which empty frames are none."""
    result = decode(framing, stream)
    assert (result.frames, result.error, result.skipped) == (frames, None, skipped)


@pytest.mark.parametrize(
    ("framing", "stream"),
    [
        (MarkedFraming.jt808(), b"~a~~b}\x03~c~"),
        (MarkedFraming.jt808(), b"~a~b}~"),
        (MarkedFraming.slip(), b"a\xc0\xdb\x01\xc0"),
        (MarkedFraming.slip(), b"a\xc0\xdb\xdb\xdc\xc0"),
    ],
    ids=["code", "code is the end", "slip", "double escape"],
)
def test_unknown_code_is_malformed(framing: MarkedFraming, stream: bytes) -> None:
    """The frames before it are delivered."""
    result = decode(framing, stream)
    assert (result.frames, result.error) == ([b"a"], FramingError)


class TestBound:
    @pytest.mark.parametrize(
        "framing",
        [MarkedFraming.slip(40), MarkedFraming.hdlc(40), MarkedFraming.mllp(40), BRACKETS, MarkedFraming(b"##", b"##")],
        ids=["slip", "hdlc", "mllp", "brackets", "flag"],
    )
    def test_exact(self, framing: MarkedFraming) -> None:
        """A frame of the bound passes; one byte more does not."""
        size = framing.max_frame
        assert decode(framing, framing.encode(b"a" * size)).frames == [b"a" * size]
        result = decode(framing, framing.encode(b"b") + framing.encode(b"a" * (size + 1)))
        assert (result.frames, result.error) == ([b"b"], OversizeFrameError)

    def test_counts_what_is_delivered(self) -> None:
        """A frame in which every byte is escaped is twice as long on the wire."""
        framing = MarkedFraming.jt808(40)
        assert decode(framing, framing.encode(b"~" * 40)).frames == [b"~" * 40]
        assert decode(framing, framing.encode(b"~" * 41)).error is OversizeFrameError

    @pytest.mark.parametrize("framing", [MarkedFraming.slip(5), MarkedFraming.mllp(5)], ids=["slip", "mllp"])
    def test_without_an_end(self, framing: MarkedFraming) -> None:
        """Memory is bounded, and the fault does not wait for the end."""
        result = check_any_split(framing, framing.start + b"a" * 30, [], 7)
        assert result.error is OversizeFrameError

    def test_linear(self) -> None:
        """One byte at a time costs no more per byte for a long frame."""
        check_linear(MarkedFraming.mllp(), b"\x0b")
        check_linear(MarkedFraming.jt808(), b"~")
        check_linear(MarkedFraming.slip(), b"")


@pytest.mark.parametrize(
    ("framing", "stream", "is_truncated"),
    [
        (MarkedFraming.hdlc(), b"~a~", False),
        (MarkedFraming.hdlc(), b"~a~~", False),
        (MarkedFraming.hdlc(), b"~a~b", True),
        (MarkedFraming.hdlc(), b"~a", True),
        (MarkedFraming.slip(), b"a", True),
        (MarkedFraming.mllp(), b"\x0ba\x1c", True),
        (MarkedFraming.mllp(), b"\x0b", True),
        (BRACKETS, b"[[a]][", False),
        (MarkedFraming(b"##", b"##"), b"##a###", True),
    ],
)
def test_truncated(framing: MarkedFraming, stream: bytes, is_truncated: bool) -> None:
    """A closing flag alone, or half a start marker, is no frame; anything else is cut."""
    assert decode(framing, stream, end=True).error is (TruncatedFrameError if is_truncated else None)


FRAMINGS = [
    MarkedFraming.slip(5),
    MarkedFraming.hdlc(5),
    MarkedFraming.jt808(5),
    MarkedFraming.mllp(5),
    MarkedFraming(end=b"##", start=b"##", max_frame=5),
    MarkedFraming(end=b"]]", start=b"[[", max_frame=5),
    MarkedFraming(end=b"]]", max_frame=5),
    MarkedFraming(end=b"\3", start=b"\2", escape=b"\x10", escape_table=(b"\x43\3",), escape_xor=0x40, max_frame=5),
]


@given(
    st.sampled_from(FRAMINGS),
    garbage(
        b"\xc0", b"\xdb\xdc", b"\xdb", b"~", b"}^", b"}\2", b"}", b"\x0b", b"\x1c", b"\r", b"#", b"]", b"[[", b"ab"
    ),
    splits(),
)
@quick
def test_any_split(framing: MarkedFraming, stream: bytes, places: list[int]) -> None:
    """Frames, error, memory and the count of skipped bytes do not depend on where reads end."""
    check_any_split(framing, stream, places, 12)


@given(st.sampled_from(FRAMINGS), st.lists(garbage(b"~", b"}", b"\xc0", b"\xdb", b"#", b"]", b"\2\3", max_size=3)))
@quick
def test_round_trip(framing: MarkedFraming, frames: list[bytes]) -> None:
    """With escapes any bytes can be carried; without, what holds the end is refused."""
    framing = MarkedFraming(framing.end, framing.start, framing.escape, framing.escape_table, framing.escape_xor)
    stream, sent = b"", []
    for frame in frames:
        try:
            stream += framing.encode(frame)
        except CodecError:
            assert not frame or not framing.escape
        else:
            sent.append(frame)
    assert check_any_split(framing, stream, [7], 12).frames == sent


@pytest.mark.parametrize(
    ("framing", "frame"),
    [(MarkedFraming.mllp(), b"a\x1c\rb"), (BRACKETS, b"a]"), (MarkedFraming.slip(), b""), (MarkedFraming.hdlc(), b"")],
    ids=["end inside", "end together", "slip empty", "flag empty"],
)
def test_encode_refuses(framing: MarkedFraming, frame: bytes) -> None:
    """A frame that would arrive as another, or not at all, is not sent."""
    with pytest.raises(CodecError):
        framing.encode(frame)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"end": b""}, "end"),
        ({"end": b"~", "max_frame": 0}, "max_frame"),
        ({"end": b"~", "escape": b"}"}, "escape"),
        ({"end": b"~", "escape_xor": 0x20}, "escape"),
        ({"end": b"~", "escape": b"}}", "escape_xor": 0x20}, "escape"),
        ({"end": b"~", "escape": b"}", "escape_xor": 256}, "escape_xor"),
        ({"end": b"~", "escape": b"}", "escape_table": (b"\x01",)}, "escape_table"),
        ({"end": b"~", "escape": b"}", "escape_table": (b"\x01}",)}, "escape_table"),
        ({"end": b"~", "escape": b"}", "escape_table": (b"\x01}", b"~~")}, "escape_table"),
        ({"end": b"~", "escape": b"}", "escape_table": (b"\x01}", b"\x02}", b"\x03~")}, "escape_table"),
        ({"end": b"~", "escape": b"}", "escape_table": (b"\x01}", b"\x01~")}, "escape_table"),
    ],
)
def test_configuration(options: dict[str, object], key: str) -> None:
    """Impossible configurations are refused when they are built, with the option's name."""
    with pytest.raises(ConfigurationError) as caught:
        MarkedFraming(**options)  # type: ignore[arg-type] # a table of options of all types
    assert caught.value.key == key
