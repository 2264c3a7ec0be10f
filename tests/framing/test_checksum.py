"""Frames with a check value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, decode, garbage, quick, splits
from portcast.errors import (
    ChecksumError,
    ConfigurationError,
    FramingError,
    OversizeFrameError,
    TruncatedFrameError,
)
from portcast.framing.base import Framing
from portcast.framing.checksum import Algorithm, CheckByteOrder, ChecksumFraming, OnMismatch
from portcast.framing.cutting import SingleFrameDecoder
from portcast.framing.fixed import FixedLengthFraming
from portcast.framing.length_field import LengthFieldFraming
from portcast.framing.line import LineFraming
from portcast.framing.marked import MarkedFraming
from portcast.framing.varint import VarintFraming


@pytest.mark.parametrize(
    ("framing", "wire", "frame"),
    [
        (  # "MODBUS over serial line" V1.02: read ten holding registers of unit 1; the CRC's low byte first.
            ChecksumFraming(FixedLengthFraming(8), "crc16_modbus"),
            bytes.fromhex("01 03 00 00 00 0a c5 cd"),
            bytes.fromhex("01 03 00 00 00 0a"),
        ),
        (  # NMEA 0183 as in gpsd's "NMEA Revealed".
            ChecksumFraming(LineFraming(), "nmea"),
            b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\n",
            b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,",
        ),
        (  # AIS as in gpsd's "AIVDM/AIVDO protocol decoding".
            ChecksumFraming(LineFraming(), "nmea"),
            b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\n",
            b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0",
        ),
        (  # "GT06 GPS Tracker Communication Protocol", login: start, length, login, serial, CRC-ITU, stop.
            ChecksumFraming(
                LengthFieldFraming(length_field_offset=2, length_field_length=1, length_adjustment=2, magic=b"xx"),
                "crc16_x25",
                skip=2,
                byte_order="big",
                tail=b"\r\n",
            ),
            bytes.fromhex("78780d01012345678901234500018cdd0d0a"),
            bytes.fromhex("78780d0101234567890123450001"),
        ),
        (  # JT/T 808: the xor of all bytes between the flags, before escaping.
            ChecksumFraming(MarkedFraming.jt808(), "xor"),
            bytes.fromhex("7e 00 7d 02 7d 02 7e"),
            bytes.fromhex("00 7e"),
        ),
        (ChecksumFraming(FixedLengthFraming(4), "sum"), b"\x01\xff\x02\x02", b"\x01\xff\x02"),
        (ChecksumFraming(FixedLengthFraming(11), "crc16_ccitt"), b"123456789\x29\xb1", b"123456789"),
        (ChecksumFraming(FixedLengthFraming(13), "crc32"), b"123456789\x26\x39\xf4\xcb", b"123456789"),
        (
            ChecksumFraming(FixedLengthFraming(13), "crc32", byte_order="big"),
            b"123456789\xcb\xf4\x39\x26",
            b"123456789",
        ),
    ],
    ids=["modbus", "nmea", "ais", "gt06", "jt808", "sum", "ccitt", "crc32", "crc32 big"],
)
def test_specifications(framing: ChecksumFraming, wire: bytes, frame: bytes) -> None:
    """Real frames, both ways."""
    result = decode(framing, wire * 2, end=True)
    assert (result.frames, result.error) == ([frame, frame], None)
    assert framing.encode(frame) == wire


def test_without_strip() -> None:
    """The frame is verified and delivered whole."""
    framing = ChecksumFraming(LineFraming(), "nmea", strip=False)
    assert decode(framing, b"$A*41\n").frames == [b"$A*41"]
    assert framing.encode(b"$A") == b"$A*41\n"


def test_nmea_digits_in_either_case() -> None:
    """Some receivers write lower case."""
    framing = ChecksumFraming(LineFraming(), "nmea")
    assert decode(framing, b"$O*4F\n$O*4f\n").frames == [b"$O", b"$O"]


@pytest.mark.parametrize("wrong", [b"$A*42", b"$A", b"", b"41", b"$A*41 ", b"$A+41"])
class TestMismatch:
    def test_close(self, wrong: bytes) -> None:
        """The frames before it are delivered, nothing behind it, whatever the inner framing thinks of that."""
        framing = ChecksumFraming(LineFraming(max_frame=9), "nmea")
        result = decode(framing, b"$A*41\n" + wrong + b"\n$A*41\n" + b"x" * 20)
        assert (result.frames, result.error) == ([b"$A"], ChecksumError)
        assert "a frame that ends in its nmea value" in result.message

    def test_discard(self, wrong: bytes) -> None:
        """Only the frame is lost, and counted."""
        framing = ChecksumFraming(LineFraming(), "nmea", on_mismatch="discard")
        result = decode(framing, b"$A*41\n" + wrong + b"\n$A*41\n", end=True)
        assert (result.frames, result.error, result.skipped) == ([b"$A", b"$A"], None, len(wrong))


@pytest.mark.parametrize("frame", [b"\x01a", b"ab`z", b"ab_-", b"b"], ids=["short", "check", "tail", "shorter"])
def test_skip_and_tail(frame: bytes) -> None:
    """What is not covered must still be there."""
    framing = ChecksumFraming(VarintFraming(), "xor", skip=1, tail=b"z")
    assert decode(framing, framing.encode(b"ab")).frames == [b"ab"]
    assert framing.encode(b"ab") == b"\x04abbz"
    assert decode(framing, VarintFraming().encode(frame)).error is ChecksumError


def test_faults_of_the_inner_framing() -> None:
    """They pass through, at their place in the stream; its last frame is verified too."""
    assert decode(ChecksumFraming(LineFraming(max_frame=5), "nmea"), b"$A*41\nxxxxxxxx").error is OversizeFrameError
    assert decode(ChecksumFraming(LineFraming(), "nmea"), b"$A*41", end=True).error is TruncatedFrameError
    kept = ChecksumFraming(LineFraming(keep_last=True), "nmea")
    assert decode(kept, b"$A*41", end=True).frames == [b"$A"]
    assert decode(kept, b"$A*42", end=True).error is ChecksumError


class TestTake:
    def test_one_frame(self) -> None:
        """The decoder can stop after a frame, good or dropped."""
        decoder = ChecksumFraming(LineFraming(), "nmea", on_mismatch="discard").decoder()
        assert isinstance(decoder, SingleFrameDecoder)
        frames: list[bytes] = []
        assert decoder.take(b"$A*4", 0, frames) == 4
        assert (decoder.is_between, decoder.buffered) == (False, 4)
        assert decoder.take(b"1\n$A", 0, frames) == 2
        assert decoder.take(b"$A\n$", 0, frames) == 3
        assert (decoder.is_between, decoder.skipped_bytes, frames) == (True, 2, [b"$A"])

    def test_mismatch(self) -> None:
        """A fault takes all later reads, and hides what the inner decoder holds."""
        decoder = ChecksumFraming(LineFraming(), "nmea").decoder()
        assert isinstance(decoder, SingleFrameDecoder)
        decoder.take(b"$A\n", 0, [])
        assert isinstance(decoder.error, FramingError)
        assert decoder.take(b"$A*41\n", 0, []) == 6
        assert (decoder.feed(b"$A*41\n"), decoder.end(), decoder.buffered) == ([], [], 0)


@given(
    st.sampled_from(["close", "discard"]),
    st.sampled_from([LineFraming(max_frame=9), FixedLengthFraming(5)]),
    garbage(b"\n", b"a*61\n", b"$a*61\n", b"$a*61", b"ab"),
    splits(),
)
@quick
def test_any_split(on_mismatch: OnMismatch, inner: Framing, stream: bytes, places: list[int]) -> None:
    """Frames, error, memory and the count of skipped bytes do not depend on where reads end."""
    check_any_split(ChecksumFraming(inner, "nmea", on_mismatch=on_mismatch), stream, places, 1)


@given(
    st.sampled_from(["xor", "sum", "crc16_modbus", "crc16_ccitt", "crc16_x25", "crc32", "nmea"]),
    st.sampled_from(["usual", "big", "little"]),
    st.integers(0, 3),
    st.lists(st.binary(min_size=3, max_size=20), max_size=5),
    splits(),
)
@quick
def test_round_trip(
    algorithm: Algorithm, order: CheckByteOrder, skip: int, frames: list[bytes], places: list[int]
) -> None:
    """What is encoded is verified and comes back, and one wrong bit is found."""
    framing = ChecksumFraming(VarintFraming(), algorithm, skip, order)
    stream = b"".join(map(framing.encode, frames))
    assert check_any_split(framing, stream, places, 10).frames == frames
    if stream:
        broken = stream[:-1] + bytes([stream[-1] ^ 1])
        assert check_any_split(framing, broken, places, 10).error is ChecksumError


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"inner": b"lines", "algorithm": "xor"}, "inner"),
        ({"inner": LineFraming(), "algorithm": "md5"}, "algorithm"),
        ({"inner": LineFraming(), "algorithm": "xor", "byte_order": "network"}, "byte_order"),
        ({"inner": LineFraming(), "algorithm": "xor", "on_mismatch": "keep"}, "on_mismatch"),
        ({"inner": LineFraming(), "algorithm": "xor", "skip": -1}, "skip"),
        ({"inner": FixedLengthFraming(4), "algorithm": "crc32", "skip": 1}, "max_frame"),
    ],
)
def test_configuration(options: dict[str, object], key: str) -> None:
    """Impossible configurations are refused when they are built, with the option's name."""
    with pytest.raises(ConfigurationError) as caught:
        ChecksumFraming(**options)  # type: ignore[arg-type] # a table of options of all types
    assert caught.value.key == key


def test_bound_is_the_inner_one() -> None:
    """It counts the check value, as the inner framing does."""
    assert ChecksumFraming(LineFraming(max_frame=50), "nmea").max_frame == 50
