"""Several formats on one port."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import bytewise, check_any_split, decode, garbage, outcome, quick, splits
from portcast.errors import (
    ChecksumError,
    CodecError,
    ConfigurationError,
    FramingError,
    OversizeFrameError,
    TruncatedFrameError,
)
from portcast.framing.base import FrameDecoder, Framing
from portcast.framing.checksum import ChecksumFraming
from portcast.framing.custom import CustomFraming
from portcast.framing.delimiter import DelimiterFraming
from portcast.framing.first_byte import FirstByteFraming
from portcast.framing.fixed import FixedLengthFraming
from portcast.framing.json_values import JsonFraming
from portcast.framing.length_field import LengthFieldFraming
from portcast.framing.line import LineFraming
from portcast.framing.marked import MarkedFraming
from portcast.framing.raw import RawFraming
from portcast.framing.varint import VarintFraming

H02 = FirstByteFraming({b"*": DelimiterFraming(b"#"), b"$X": FixedLengthFraming(45)}, ignore=b"\r\n")
"""As traccar reads H02: text from ``*`` to ``#``, binary of 45 bytes from ``$``, ping from ``X``."""

TELTONIKA = FirstByteFraming(
    {
        0xFF: FixedLengthFraming(1),
        b"\x00": LengthFieldFraming(),
    }
)
"""A ping of one byte, and the login: the IMEI with its length in two bytes (Teltonika "Data sending protocols")."""

MIXED = FirstByteFraming(
    {
        b"*": DelimiterFraming((b"#", b"##"), max_frame=5, on_oversize="discard"),
        b"$": FixedLengthFraming(3),
        b"~": MarkedFraming.jt808(5),
        b"{": JsonFraming(9),
        b"A@": LengthFieldFraming(2, 1, magic=b"AB", max_frame=9),
        b"q": ChecksumFraming(LineFraming(max_frame=5), "sum", on_mismatch="discard"),
    },
    default=LineFraming(max_frame=4, skip_empty=True, on_oversize="discard"),
    ignore=b" ",
)


class Pairs(CustomFraming):
    """Two bytes each; its decoder is wrapped to be one that only knows the protocol."""

    max_frame = 2

    def decode(self, buffer: bytearray) -> bytes | None:
        if len(buffer) < 2:
            return None
        frame = bytes(buffer[:2])
        del buffer[:2]
        return frame


class Plain:
    """Somebody else's framing, with a decoder that cannot stop after one frame."""

    max_frame = 2

    def decoder(self) -> FrameDecoder:
        inner = Pairs().decoder()

        class Decoder:
            error = None
            skipped_bytes = 0
            buffered = property(lambda self: inner.buffered)
            feed = staticmethod(inner.feed)
            end = staticmethod(inner.end)

        return Decoder()

    def encode(self, frame: bytes) -> bytes:
        return frame


def test_h02() -> None:
    """Text and binary frames in one stream, with line ends between them."""
    text = b"*HQ,4106012736,V1,224434,A,1826.5052,N,06703.9298,W,000.00,302,200114,FFFFFFFF"
    binary = b"$" + bytes(range(44))
    result = decode(H02, text + b"#\r\n" + binary + text + b"#" + b"X" + bytes(44), end=True)
    assert (result.frames, result.error) == ([text, binary, text, b"X" + bytes(44)], None)
    assert result.skipped == 2


def test_teltonika() -> None:
    """A login and pings."""
    login = b"\x00\x0f356307042441013"
    assert decode(TELTONIKA, b"\xff" + login + b"\xff\xff", end=True).frames == [b"\xff", login, b"\xff", b"\xff"]


def test_unknown_first_byte_is_malformed() -> None:
    """The error names the bytes that would have been right; the frames before it are delivered."""
    result = decode(H02, b"*a#?*b#")
    assert (result.frames, result.error) == ([b"*a"], FramingError)
    assert "begins with one of b'$*X'; saw 1 bytes beginning b'?'" in result.message


@pytest.mark.parametrize(
    ("stream", "frames", "error", "skipped"),
    [
        (b"*a#$12~ab~~c~{}AB\x01x", [b"*a", b"$12", b"ab", b"c", b"{}", b"AB\x01x"], None, 0),
        (b"*abcdefgh#$12", [b"$12"], None, 9),
        (b"line\n\n*a#  $12", [b"line", b"*a", b"$12"], None, 2),
        (b"too long\n$12", [b"$12"], None, 8),
        (b"q\xe2\x53\nqr\nq\xe2\x53\n", [b"q\xe2", b"q\xe2"], None, 2),
        (b"ACAB\x00$12", [b"AB\x00", b"$12"], None, 2),
        (b"*a#~}x~$12", [b"*a"], FramingError, 0),
        (b"*a#{12345678901}", [b"*a"], OversizeFrameError, 0),
    ],
    ids=["each", "discard", "default", "discard in default", "checksum", "resynchronise", "malformed", "oversize"],
)
def test_each_frame_chooses(stream: bytes, frames: list[bytes], error: type[FramingError] | None, skipped: int) -> None:
    """Every framing gives the stream back after its frame, delivered or dropped."""
    result = decode(MIXED, stream, end=True)
    assert (result.frames, result.error, result.skipped) == (frames, error, skipped)


def test_truncated() -> None:
    """Only inside a frame."""
    assert decode(H02, b"*a", end=True).error is TruncatedFrameError
    assert decode(H02, b"*a#", end=True).error is None
    framing = FirstByteFraming({b"*": DelimiterFraming((b"\r", b"\r\n"))})
    assert decode(framing, b"*a\r", end=True).frames == [b"*a"]


@pytest.mark.parametrize("inner", [Pairs(), Plain()], ids=["custom", "protocol only"])
def test_users_own_framings(inner: Framing) -> None:
    """Any framing can be chosen."""
    framing = FirstByteFraming({b"P": inner}, default=FixedLengthFraming(1))
    for chunks in ([b"PaxPbPP"], bytewise(b"PaxPbPP")):
        assert outcome(framing.decoder(), chunks).frames == [b"Pa", b"x", b"Pb", b"PP"]


@given(
    garbage(b"*", b"#", b"*a#", b"$12", b"~", b"~ab~", b"{}", b"AB\1z", b"AB\0", b"AAB", b"qq\n", b"\n", b" "), splits()
)
@quick
def test_any_split(stream: bytes, places: list[int]) -> None:
    """Frames, error, memory and the count of skipped bytes do not depend on where reads end."""
    check_any_split(MIXED, stream, places, 6)


@given(st.lists(st.sampled_from([b"*a", b"$12", b"{}", b"AB\x01x", b"qa", b"li"]), max_size=8), splits())
@quick
def test_round_trip(frames: list[bytes], places: list[int]) -> None:
    """Each frame is written so that its own framing reads it."""
    stream = b"".join(map(MIXED.encode, frames))
    assert check_any_split(MIXED, stream, places, 6).frames == frames


class TestEncode:
    def test_markers_are_looked_at(self) -> None:
        """A frame whose marker was stripped is written by the framing that puts it back."""
        framing = FirstByteFraming({b"*": DelimiterFraming(b"#"), b"\x0b": MarkedFraming.mllp()})
        assert framing.encode(b"MSH|") == b"\x0bMSH|\x1c\r"
        assert framing.encode(b"*a") == b"*a#"

    def test_refuses(self) -> None:
        """No framing, or one that would be read with another, or ignored."""
        for frame in (b"?", b"", b"*#"):
            with pytest.raises(CodecError):
                H02.encode(frame)
        with pytest.raises(CodecError):
            FirstByteFraming({b"*": DelimiterFraming(b"#")}, default=LineFraming(), ignore=b" ").encode(b" a")


def test_checksum_fault() -> None:
    """A fault of any kind ends the stream."""
    framing = FirstByteFraming({b"$": ChecksumFraming(LineFraming(), "nmea")})
    assert decode(framing, b"$A*41\n$A*42\n").error is ChecksumError


def test_bound_is_the_largest() -> None:
    """Of all framings and the default."""
    assert MIXED.max_frame == 9
    assert FirstByteFraming({}, default=VarintFraming(7)).max_frame == 7


def test_equal_and_hashable() -> None:
    """A framing is a value, and its map is its own."""
    framings: dict[int | bytes, Framing] = {b"ab": LineFraming()}
    first, second = FirstByteFraming(framings), FirstByteFraming({0x61: LineFraming(), b"b": LineFraming()})
    framings.clear()
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    "options",
    [
        {"framings": {}},
        {"framings": {256: LineFraming()}},
        {"framings": {b"ab": LineFraming(), b"b": LineFraming()}},
        {"framings": {b"a": LineFraming()}, "ignore": b"a"},
        {"framings": {b"a": "lines"}},
        {"framings": {b"a": RawFraming()}},
        {"framings": {b"a": LineFraming(ending="any")}},
        {"framings": {b"a": ChecksumFraming(LineFraming(ending="any"), "xor")}},
        {"framings": {b"a": LineFraming()}, "default": RawFraming()},
    ],
    ids=["none", "no byte", "twice", "ignored", "no framing", "raw", "any", "any in checksum", "raw default"],
)
def test_configuration(options: dict[str, object]) -> None:
    """Impossible configurations are refused when they are built."""
    with pytest.raises(ConfigurationError) as caught:
        FirstByteFraming(**options)  # type: ignore[arg-type] # a table of options of all types
    assert caught.value.key == "framings"
