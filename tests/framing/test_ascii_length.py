"""Lengths in decimal digits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, quick, splits
from portcast.errors import CodecError, ConfigurationError, FramingError, OversizeFrameError, TruncatedFrameError
from portcast.framing.ascii_length import AsciiLengthFraming

# RFC 5424 §6.5, example 1, without its byte order mark; counted as RFC 6587 §3.4.1 says.
SYSLOG = b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed for lonvick on /dev/pts/8"


def test_octet_counting() -> None:
    """RFC 6587 §3.4.1: MSG-LEN SP SYSLOG-MSG, with line feeds as ordinary bytes."""
    framing = AsciiLengthFraming.octet_counting()
    assert framing.encode(SYSLOG) == b"107 " + SYSLOG
    result = decode(framing, b"107 " + SYSLOG + b"3 a\nb", end=True)
    assert (result.frames, result.error) == ([SYSLOG, b"a\nb"], None)


def test_netstring() -> None:
    """The example of D. J. Bernstein's "Netstrings" (1997), and the empty string."""
    framing = AsciiLengthFraming.netstring()
    stream = bytes.fromhex("31 32 3a 68 65 6c 6c 6f 20 77 6f 72 6c 64 21 2c") + b"0:,"
    assert decode(framing, stream, end=True).frames == [b"hello world!", b""]
    assert framing.encode(b"hello world!") + framing.encode(b"") == stream


@pytest.mark.parametrize(
    ("framing", "stream", "frames"),
    [
        (AsciiLengthFraming(), b"003 abc0 ", [b"abc", b""]),
        (AsciiLengthFraming(separator=b"::", trailer=b"\r\n"), b"1::a\r\n2::bc\r\n", [b"a", b"bc"]),
    ],
    ids=["leading zeros", "long separator and trailer"],
)
def test_other_formats(framing: AsciiLengthFraming, stream: bytes, frames: list[bytes]) -> None:
    """The general form takes what the presets refuse."""
    result = decode(framing, stream, end=True)
    assert (result.frames, result.error) == (frames, None)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"1:a,x", "saw 1 bytes beginning b'x'"),
        (b":a", "saw 1 bytes beginning b':'"),
        (b"12;", "saw 3 bytes beginning b'12;'"),
        (b"01:a,", "saw 2 bytes beginning b'01'"),
        (b"12345678901:", "saw 11 bytes beginning b'12345678901'"),
        (b"1:a.", "expected b',' after 1 byte; saw 4 bytes"),
    ],
    ids=["no digit", "no digits", "no separator", "leading zero", "too many digits", "no trailer"],
)
def test_malformed(stream: bytes, message: str) -> None:
    """Each fault is found at its first wrong byte, for every split."""
    result = decode(AsciiLengthFraming.netstring(), stream)
    assert result.error is FramingError
    assert message in result.message


def test_bound_is_checked_when_the_length_is_read() -> None:
    """The announced size is in the error; nothing is waited for."""
    result = decode(AsciiLengthFraming.octet_counting(max_frame=10), b"10 0123456789999999999 ")
    assert (result.frames, result.error) == ([b"0123456789"], OversizeFrameError)
    assert "saw 999999999 bytes" in result.message


@pytest.mark.parametrize(("stream", "expected"), [(b"1", "digits and a separator"), (b"3 a", "a frame of 5 bytes")])
def test_truncated(stream: bytes, expected: str) -> None:
    """The error says whether the length or the frame was cut."""
    result = decode(AsciiLengthFraming(), stream, end=True)
    assert result.error is TruncatedFrameError
    assert f"expected {expected};" in result.message


def test_linear() -> None:
    """One byte at a time costs no more per byte for a long frame."""
    check_linear(AsciiLengthFraming(), b"65000 ")


@given(
    st.sampled_from(
        [
            AsciiLengthFraming(max_frame=9),
            AsciiLengthFraming.netstring(9),
            AsciiLengthFraming(separator=b"::", max_digits=2, max_frame=9),
        ]
    ),
    garbage(b"1 ", b"2", b" ", b"0", b"1:", b"2:", b":", b",", b"1:a,", b"01::"),
    splits(),
)
@quick
def test_any_split(framing: AsciiLengthFraming, stream: bytes, places: list[int]) -> None:
    """Frames, error and memory do not depend on where reads end."""
    check_any_split(framing, stream, places, 13)


@given(st.booleans(), st.lists(st.binary(max_size=20), max_size=6), splits())
@quick
def test_round_trip(is_netstring: bool, frames: list[bytes], places: list[int]) -> None:
    """Any bytes can be carried."""
    framing = AsciiLengthFraming.netstring() if is_netstring else AsciiLengthFraming.octet_counting()
    assert check_any_split(framing, b"".join(map(framing.encode, frames)), places, 13).frames == frames


def test_encode_refuses_more_digits() -> None:
    """A length that the receiver would not read is not written."""
    with pytest.raises(CodecError, match="more than 1 digits"):
        AsciiLengthFraming(max_digits=1).encode(b"0123456789")


def test_default_bound_gives_way_to_the_digits() -> None:
    """Two digits can say 99."""
    assert AsciiLengthFraming(max_digits=2).max_frame == 99


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"separator": b""}, "separator"),
        ({"separator": b"0:"}, "separator"),
        ({"max_digits": 0}, "max_digits"),
        ({"max_digits": 20}, "max_digits"),
        ({"max_digits": 2, "max_frame": 100}, "max_frame"),
        ({"max_frame": 0}, "max_frame"),
    ],
)
def test_configuration(options: dict[str, object], key: str) -> None:
    """Impossible configurations are refused when they are built, with the option's name."""
    with pytest.raises(ConfigurationError) as caught:
        AsciiLengthFraming(**options)  # type: ignore[arg-type] # a table of options of all types
    assert caught.value.key == key
