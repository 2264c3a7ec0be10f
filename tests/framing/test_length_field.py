"""Binary length fields: where they lie, what they count, and what is refused."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framing_helpers import check_any_split, check_linear, decode, garbage, quick, splits
from portcast.errors import (
    CodecError,
    ConfigurationError,
    FramingError,
    OversizeFrameError,
    TruncatedFrameError,
)
from portcast.framing.length_field import ByteOrder, LengthFieldFraming

# Teltonika "Codec" documentation, first Codec 8 example over TCP: 4 zero bytes, data length, data, CRC-16 in 4 bytes.
TELTONIKA = bytes.fromhex(
    "000000000000003608010000016B40D8EA30010000000000000000000000000000000105021503010101425E0F01F10000601A014E"
    "0000000000000000010000C7CF"
)


def by_second_byte(header: bytes) -> int:
    if header[0] == 0xFF:
        raise KeyError(header[0])
    if header[0] == 0xFE:
        raise FramingError("another first byte", 1, header)
    return header[1]


@pytest.mark.parametrize(
    ("framing", "stream", "frames"),
    [
        (LengthFieldFraming(), b"\0\x02ab\0\0", [b"\0\x02ab", b"\0\0"]),
        (LengthFieldFraming(bytes_to_strip=2), b"\0\x02ab\0\0", [b"ab", b""]),
        (LengthFieldFraming(byte_order="little"), b"\x02\0ab", [b"\x02\0ab"]),
        (LengthFieldFraming(length_field_length=1), b"\x02ab", [b"\x02ab"]),
        (LengthFieldFraming(length_field_length=3), b"\0\0\x02ab", [b"\0\0\x02ab"]),
        (LengthFieldFraming(length_field_length=8), b"\0\0\0\0\0\0\0\x01a", [b"\0\0\0\0\0\0\0\x01a"]),
        (LengthFieldFraming(length_field_offset=2, length_adjustment=-4), b"hi\0\x06ab", [b"hi\0\x06ab"]),
        (LengthFieldFraming(length_adjustment=2), b"\0\x01acc", [b"\0\x01acc"]),
        (LengthFieldFraming(length_field_offset=1, magic=b"x"), b"?!x\0\x01ax\0\0", [b"x\0\x01a", b"x\0\0"]),
        (LengthFieldFraming(bytes_to_strip=3, length_adjustment=1), b"\0\0a\0\x01bc", [b"", b"c"]),
        (LengthFieldFraming(length=by_second_byte, header_size=2), b"\0\x03a\0\x02", [b"\0\x03a", b"\0\x02"]),
    ],
    ids=["2", "strip", "little", "1", "3", "8", "negative", "trailer", "magic", "strip more", "callable"],
)
def test_layouts(framing: LengthFieldFraming, stream: bytes, frames: list[bytes]) -> None:
    """Every layout of the documentation's diagram, for every split."""
    result = decode(framing, stream, end=True)
    assert (result.frames, result.error) == (frames, None)


def test_teltonika() -> None:
    """A Codec 8 packet: the length at offset 4 counts the data, and a 4-byte check value follows."""
    framing = LengthFieldFraming(length_field_offset=4, length_field_length=4, length_adjustment=4)
    assert decode(framing, TELTONIKA * 2).frames == [TELTONIKA, TELTONIKA]


class TestBound:
    def test_counts_the_whole_frame_after_the_adjustment(self) -> None:
        """Header and trailer count; the frame of exactly the bound passes."""
        framing = LengthFieldFraming(length_adjustment=1, max_frame=5)
        assert decode(framing, b"\0\x02abc").frames == [b"\0\x02abc"]
        assert decode(framing, b"\0\x03abcd").error is OversizeFrameError

    @pytest.mark.row(7)
    def test_is_checked_when_the_header_is_read(self) -> None:
        """4 GiB are refused before a byte of them comes, and nothing is allocated for them."""
        decoder = LengthFieldFraming(length_field_length=4).decoder()
        tracemalloc.start()
        try:
            assert decoder.feed(b"\xff\xff\xff\xff") == []
            assert tracemalloc.get_traced_memory()[1] < 10_000
        finally:
            tracemalloc.stop()
        assert isinstance(decoder.error, OversizeFrameError)
        assert decoder.error.size == 0xFFFFFFFF + 4
        assert decoder.error.head == b"\xff\xff\xff\xff"

    def test_default_gives_way_to_the_field(self) -> None:
        """The bound is what the field can say, if that is less than the default."""
        assert LengthFieldFraming(length_field_length=1).max_frame == 256
        assert LengthFieldFraming(length_adjustment=-2).max_frame == 65_535
        assert LengthFieldFraming().max_frame == 65_536

    def test_linear(self) -> None:
        """One byte at a time costs no more per byte for a long frame."""
        check_linear(LengthFieldFraming(max_frame=65_000), b"\xfd\x00")
        check_linear(LengthFieldFraming(length_field_offset=2, magic=b"xx"), b"xx\xf5\x00", b"xx")


def test_too_short_a_length_is_malformed() -> None:
    """A frame cannot be shorter than its header."""
    result = decode(LengthFieldFraming(length_adjustment=-2), b"\0\x03a\0\x01")
    assert (result.frames, result.error) == ([b"\0\x03a"], FramingError)
    assert "at least 2 for the whole frame, not 1" in result.message


@pytest.mark.parametrize(("stream", "expected"), [(b"\0", "a header"), (b"\0\x05a", "a frame of 7 bytes")])
def test_truncated(stream: bytes, expected: str) -> None:
    """The error says whether the header or the frame was cut."""
    result = decode(LengthFieldFraming(), stream, end=True)
    assert result.error is TruncatedFrameError
    assert f"expected {expected};" in result.message


class TestMagic:
    def test_skips_and_counts(self) -> None:
        """Bytes that are no frame are skipped up to the next magic; half a magic at the end is no frame."""
        framing = LengthFieldFraming(length_field_offset=3, length_field_length=1, magic=b"aba")
        result = decode(framing, b"xxabxaba\0-aba\x01!ab", end=True)
        assert (result.frames, result.error, result.skipped) == ([b"aba\0", b"aba\x01!"], None, 8)

    def test_truncated_behind_the_magic(self) -> None:
        """Once the magic is there, a frame has begun."""
        framing = LengthFieldFraming(length_field_offset=3, length_field_length=1, magic=b"aba")
        assert decode(framing, b"aba", end=True).error is TruncatedFrameError


class TestCallable:
    FRAMING = LengthFieldFraming(length=by_second_byte, header_size=2, max_frame=9)

    def test_its_exception_is_a_malformed_frame(self) -> None:
        """A bug or a refusal in the user's function ends one connection, with the cause attached."""
        decoder = self.FRAMING.decoder()
        assert decoder.feed(b"\0\x02\xff\x02") == [b"\0\x02"]
        assert decoder.error is not None
        assert decoder.error.reason == "malformed"
        assert "it raised KeyError" in str(decoder.error)
        assert isinstance(decoder.error.__cause__, KeyError)

    def test_its_framing_error_is_kept(self) -> None:
        """A user may say what was expected."""
        assert "another first byte" in decode(self.FRAMING, b"\xfe\x02").message

    def test_nonsense_is_malformed(self) -> None:
        """What is no number is the function's mistake."""
        framing = LengthFieldFraming(length=lambda header: "3", header_size=1)  # type: ignore[arg-type,return-value] # the mistake
        assert "it raised TypeError" in decode(framing, b"abc").message

    @pytest.mark.parametrize(("stream", "error"), [(b"\0\x0a", OversizeFrameError), (b"\0\x01", FramingError)])
    def test_bounds(self, stream: bytes, error: type[FramingError]) -> None:
        """Its result is checked like a field."""
        assert decode(self.FRAMING, stream).error is error


@given(
    st.sampled_from(
        [
            LengthFieldFraming(length_field_length=1, max_frame=9),
            LengthFieldFraming(2, 1, "little", -2, 2, b"xy", 9),
            LengthFieldFraming(length_field_offset=3, length_field_length=1, magic=b"aba", max_frame=9),
            LengthFieldFraming(length=by_second_byte, header_size=2, max_frame=9),
        ]
    ),
    garbage(b"\0", b"\1", b"\2", b"\5", b"x", b"xy", b"aba", b"ab"),
    splits(),
)
@quick
def test_any_split(framing: LengthFieldFraming, stream: bytes, places: list[int]) -> None:
    """Frames, error, memory and the count of skipped bytes do not depend on where reads end."""
    check_any_split(framing, stream, places, 0)


@given(
    st.integers(1, 8),
    st.sampled_from(["big", "little"]),
    st.integers(-1, 3),
    st.sampled_from([b"", b"m"]),
    st.lists(st.binary(min_size=3, max_size=20), max_size=5),
    splits(),
)
@quick
def test_round_trip(
    width: int, order: ByteOrder, adjustment: int, magic: bytes, frames: list[bytes], places: list[int]
) -> None:
    """With the header stripped, encoding writes it again; the frames come back."""
    framing = LengthFieldFraming(
        len(magic), width, order, adjustment, len(magic) + width, magic, min(200, 256**width - 10)
    )
    stream = b"".join(map(framing.encode, frames))
    assert check_any_split(framing, stream, places, 0).frames == frames


class TestEncode:
    def test_whole_frames_are_checked(self) -> None:
        """With the header in the frame, it must tell the truth."""
        framing = LengthFieldFraming(length_field_offset=1, magic=b"x")
        assert framing.encode(b"x\0\x01a") == b"x\0\x01a"
        for wrong in (b"x\0\x02a", b"y\0\x01a", b"x\0", b""):
            with pytest.raises(CodecError, match="does not announce"):
                framing.encode(wrong)

    def test_callable(self) -> None:
        """The user's function is asked as when decoding."""
        framing = LengthFieldFraming(length=by_second_byte, header_size=2)
        assert framing.encode(b"\0\x03a") == b"\0\x03a"
        with pytest.raises(CodecError, match="KeyError"):
            framing.encode(b"\xff\x03a")

    def test_stripped_magic_is_put_back(self) -> None:
        """What is known can be written again."""
        framing = LengthFieldFraming(length_field_offset=1, length_field_length=1, magic=b"x", bytes_to_strip=1)
        assert framing.encode(b"\x01a") == b"x\x01a"

    @pytest.mark.parametrize(
        ("framing", "frame", "problem"),
        [
            (LengthFieldFraming(length_field_offset=1, bytes_to_strip=3), b"a", "not known"),
            (LengthFieldFraming(length=by_second_byte, header_size=2, bytes_to_strip=2), b"a", "not known"),
            (LengthFieldFraming(length_field_length=1, bytes_to_strip=1), bytes(256), "do not fit"),
            (LengthFieldFraming(length_adjustment=3, bytes_to_strip=2), b"a", "do not fit"),
        ],
        ids=["unknown bytes", "callable", "too long", "negative"],
    )
    def test_refuses(self, framing: LengthFieldFraming, frame: bytes, problem: str) -> None:
        """What cannot be written again is refused, not guessed."""
        with pytest.raises(CodecError, match=problem):
            framing.encode(frame)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"length_field_length": 0}, "length_field_length"),
        ({"length_field_length": 9}, "length_field_length"),
        ({"length_field_offset": -1}, "length_field_offset"),
        ({"bytes_to_strip": -1}, "bytes_to_strip"),
        ({"byte_order": "network"}, "byte_order"),
        ({"length_field_length": 1, "max_frame": 257}, "max_frame"),
        ({"length_field_length": 1, "length_adjustment": -256}, "length_adjustment"),
        ({"max_frame": 1}, "max_frame"),
        ({"bytes_to_strip": 10, "max_frame": 9}, "max_frame"),
        ({"max_frame": 0}, "max_frame"),
        ({"magic": b"x"}, "magic"),
        ({"length": len}, "header_size"),
        ({"header_size": 3}, "header_size"),
        ({"length": len, "header_size": 2, "length_adjustment": 1}, "length"),
        ({"length": len, "header_size": 1, "magic": b"xx"}, "magic"),
    ],
)
def test_configuration(options: dict[str, object], key: str) -> None:
    """Impossible configurations are refused when they are built, with the option's name."""
    with pytest.raises(ConfigurationError) as caught:
        LengthFieldFraming(**options)  # type: ignore[arg-type] # a table of options of all types
    assert caught.value.key == key
