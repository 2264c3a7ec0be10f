"""Framings: any split gives the same, nothing is raised, and no more is held than was promised.

An input: which variant, the size of its pieces (0: one byte at a time), the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from portcast.errors import CodecError
from portcast.framing import CustomFraming, FirstByteFraming, Framing, RawFraming, framing_from_options
from portcast.testing.streams import bytewise, outcome

OVERHEAD = 1024
"""Bytes that a decoder may hold of headers and trailers, besides twice ``max_frame``: escapes may double a frame."""
MAX_FRAME = 100


class Counted(CustomFraming):
    """A framing of a user: a digit, and so many bytes."""

    max_frame = MAX_FRAME

    def decode(self, buffer: bytearray) -> bytes | None:
        """Take one frame off the buffer."""
        size = int(buffer[:1]) + 1
        if len(buffer) < size:
            return None
        frame = bytes(buffer[:size])
        del buffer[:size]
        return frame


def _of(name: str, **options: str | int) -> Framing:
    return framing_from_options(name, {"max_frame": MAX_FRAME, **options})


def _fixed(size: int, **options: str | int) -> Framing:
    return framing_from_options("fixed", {"size": size, **options})


_LENGTHS = _of("length_field", length_field_length=2)
VARIANTS: dict[str, Sequence[Framing]] = {
    "lines": [_of("lines"), _of("lines", ending="any"), _of("lines", on_oversize="discard")],
    "delimiter": [
        _of("delimiter", delimiter="$"),
        _of("delimiter", delimiter="\\r\\n,\\n\\n"),
        _of("delimiter", delimiter="ab", on_oversize="discard"),
    ],
    "fixed": [_fixed(1), _fixed(7)],
    "length_field": [
        _LENGTHS,
        _of("length_field", length_field_length=1),
        _of("length_field", length_field_length=4, byte_order="little"),
        _of("length_field", length_field_length=8),
    ],
    "ascii_length": [_of("netstring"), _of("octet_counting")],
    "marked": [_of("slip"), _of("hdlc"), _of("jt808"), _of("mllp")],
    "cobs": [_of("cobs")],
    "varint": [_of("varint")],
    "json": [_of("json")],
    "raw": [RawFraming()],
    "checksum": [
        _of("lines", checksum="nmea"),
        _of("length_field", length_field_length=1, bytes_to_strip=0, checksum="crc16_modbus"),
        _of("hdlc", checksum="crc16_x25", checksum_on_mismatch="discard"),
    ],
    "first_byte": [FirstByteFraming({b"*": _of("delimiter", delimiter="#"), 0: _LENGTHS, 0x7E: _of("jt808")})],
    "custom": [Counted()],
}
_STREAMS: dict[str, Sequence[bytes]] = {
    "lines": [
        b"21.5\r\n22.0\n\n",
        b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n",
        b"a\r\n" * 9,
    ],
    "delimiter": [b"ST,GS,+ 12.5kg$", b"one\r\ntwo\n\n", b"xxabyyab"],
    "fixed": [bytes(range(21))],
    "length_field": [b"\0\5hello\0\0", b"\5hello", b"\5\0\0\0hello", b"\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\5hello"],
    "ascii_length": [b"5:hello,0:,", b"10 <13>1 test11 <13>1 test2", b"007:hello,"],
    "marked": [
        b"\xc0hello\xdb\xdc\xdb\xdd\xc0",
        b"~\xff\x03}^}]~~a~",
        b"~\x00\x02\x00\x00\x012345678\x00\x05\x7d\x02\x7d\x01~",
        b"\x0bMSH|^~\\&|A|B\r\x1c\r",
    ],
    "cobs": [b"\x03\x11\x22\x02\x33\x00\x01\x01\x00", b"\xff" + b"a" * 254 + b"\0"],
    "varint": [b"\5hello\0\x80\x01" + b"a" * 128, b"\xff" * 10],
    "json": [b'{"celsius": 21.5}{"a": ["}", "\\""]}', b'[1,2] "x" 7 true null'],
    "raw": [b"anything"],
    "checksum": [b"$GPGLL,5300.97914,N,00259.98174,E,125926,A*28\r\n", b"\7\1\3\0\0\0\1\x0a\x84", b"~abc\xdc\x13~"],
    "first_byte": [b"*HQ,1#\0\5hello~\0~", b"?"],
    "custom": [b"3abc0" + b"9123456789", b"x"],
}


def seeds(name: str) -> Iterator[tuple[int, bytes]]:
    """Yield every stream for every variant, with the variant's index."""
    for index in range(len(VARIANTS[name])):
        for stream in _STREAMS[name]:
            yield index, stream


def runner(variants: Sequence[Framing]) -> Callable[[bytes], None]:
    """Return the function that reads streams with one of the variants."""

    def run(data: bytes) -> None:
        if len(data) > 2:
            _check(variants[data[0] % len(variants)], data[1], data[2:])

    return run


def _check(framing: Framing, size: int, stream: bytes) -> None:
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)] if size else bytewise(stream)
    bound = 2 * framing.max_frame + OVERHEAD
    cut = outcome(framing.decoder(), pieces, bound=bound)
    for frame in cut.frames:
        assert len(frame) <= framing.max_frame, f"{framing}: a frame of {len(frame)} bytes"
        with suppress(CodecError):
            framing.encode(frame)
    if isinstance(framing, RawFraming):
        return
    whole = outcome(framing.decoder(), [stream], bound=bound)
    assert (whole.frames, whole.error, whole.skipped) == (cut.frames, cut.error, cut.skipped), (
        f"{framing}: {whole} {cut}"
    )
