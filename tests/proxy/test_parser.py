"""Tests of `portcast.proxy.parser`."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.errors import ProxyHeaderError
from portcast.proxy import MOST_TLV_BYTES, ProxyHeader, ProxyParser
from portcast.proxy.parser import SIGNATURE

V4 = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (50_123).to_bytes(2, "big") + (443).to_bytes(2, "big")
V6 = bytes.fromhex("20010db800000000000000000000000720010db8000000000000000000000001") + b"\0\x05\x01\xbb"
UNIX = b"/run/a".ljust(108, b"\0") + b"\0abstract".ljust(108, b"\0")
AUTHORITY = b"\x02\0\x09a.example"


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(body) if length is None else length).to_bytes(2, "big") + body


FOUR = (("192.0.2.7", 50_123), ("198.51.100.1", 443))
SIX = (("2001:db8::7", 5), ("2001:db8::1", 443))

GOOD = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.7 198.51.100.1 50123 443\r\n", ProxyHeader(1, False, *FOUR)),
    "v1 TCP6": (b"PROXY TCP6 2001:DB8::7 2001:db8::1 5 443\r\n", ProxyHeader(1, False, *SIX)),
    "v1 port 0": (
        b"PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n",
        ProxyHeader(1, False, ("1.2.3.4", 0), ("5.6.7.8", 65_535)),
    ),
    "v1 longest": (
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(105, b"x") + b"\r\n",
        ProxyHeader(1),
    ),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", ProxyHeader(1)),
    "v2 TCP4": (v2(0x21, 0x11, V4), ProxyHeader(2, False, *FOUR)),
    "v2 TCP6": (v2(0x21, 0x21, V6), ProxyHeader(2, False, *SIX)),
    "v2 Unix": (v2(0x21, 0x31, UNIX), ProxyHeader(2, False, "/run/a", "")),
    "v2 authority": (
        v2(0x21, 0x11, V4 + AUTHORITY),
        ProxyHeader(2, False, *FOUR, authority="a.example", tlvs=((2, b"a.example"),)),
    ),
    "v2 unspecified": (
        v2(0x21, 0x00, AUTHORITY),
        ProxyHeader(2, authority="a.example", tlvs=((2, b"a.example"),)),
    ),
    "v2 unspecified protocol": (v2(0x21, 0x10, V4), ProxyHeader(2)),
    "v2 LOCAL": (v2(0x20, 0x00, b""), ProxyHeader(2, is_local=True)),
    "v2 LOCAL with anything": (v2(0x20, 0xFF, b"\xff" * 50), ProxyHeader(2, is_local=True)),
    "v2 largest": (
        v2(0x21, 0x31, UNIX + b"\x04" + (MOST_TLV_BYTES - 3).to_bytes(2, "big") + bytes(MOST_TLV_BYTES - 3)),
        ProxyHeader(2, False, "/run/a", "", tlvs=((4, bytes(MOST_TLV_BYTES - 3)),)),
    ),
}


@pytest.mark.parametrize(("data", "expected"), GOOD.values(), ids=GOOD)
def test_a_header_is_read_and_what_follows_is_left(data: bytes, expected: ProxyHeader) -> None:
    """What follows may be a TLS handshake: not a byte of it is touched, not a byte less than the header is enough."""
    parser = ProxyParser()
    assert parser.feed(data[:-1]) is None
    assert parser.rest == b""
    assert parser.feed(data[-1:] + b"\x16\x03\x01") == expected
    assert parser.rest == b"\x16\x03\x01"


@pytest.mark.parametrize(("data", "expected"), [one for one in GOOD.values() if len(one[0]) < 500])
@pytest.mark.row(19)
def test_every_split(data: bytes, expected: ProxyHeader) -> None:
    """A header never depends on packet boundaries."""
    data += b"rest"
    for cut in range(len(data) + 1):
        parser = ProxyParser()
        first = parser.feed(data[:cut])
        rest = data[cut:] if first else b""
        assert (first or parser.feed(data[cut:])) == expected
        assert parser.rest + rest == b"rest"
    parser = ProxyParser()
    found = [parser.feed(bytes([byte])) for byte in data[:-4]]
    assert found[-1] == expected
    assert not any(found[:-1])


def fed_byte_by_byte(data: bytes) -> None:
    parser = ProxyParser()
    for byte in data:
        parser.feed(bytes([byte]))


BAD = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01", "does not begin"),
    "HTTP": (b"GET / HTTP/1.1\r\n", "does not begin"),
    "lower case": (b"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "does not begin"),
    "signature breaks off": (SIGNATURE[:11] + b"\r", "does not begin"),
    "v1 endless": (b"PROXY UNKNOWN" + b"x" * 94, "does not end"),
    "v1 one byte too long": (b"PROXY UNKNOWN".ljust(106, b"x") + b"\r\n", "does not end"),
    "v1 UDP": (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "the protocol"),
    "v1 nothing": (b"PROXY \r\n", "the protocol"),
    "v1 two spaces": (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "words"),
    "v1 a word more": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "words"),
    "v1 a word less": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "words"),
    "v1 wrong family": (b"PROXY TCP4 ::1 ::1 1 2\r\n", "an address"),
    "v1 other wrong family": (b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "an address"),
    "v1 octal": (b"PROXY TCP4 010.2.3.4 5.6.7.8 1 2\r\n", "an address"),
    "v1 scope": (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "an address"),
    "v1 not ASCII": ("PROXY TCP4 1.2.3.٤ 5.6.7.8 1 2\r\n".encode(), "an address"),
    "v1 port too large": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "a port"),
    "v1 port with zero": (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", "a port"),
    "v1 port with sign": (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "a port"),
    "v1 no port": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n", "a port"),
    "v2 version": (v2(0x11, 0x11, V4), "version and command 0x11"),
    "v2 command": (v2(0x22, 0x11, V4), "version and command 0x22"),
    "v2 family": (v2(0x21, 0x41, V4), "family and protocol 0x41"),
    "v2 protocol": (v2(0x21, 0x13, V4), "family and protocol 0x13"),
    "v2 datagram": (v2(0x21, 0x12, V4), "datagrams"),
    "v2 short addresses": (v2(0x21, 0x21, V4), "do not hold the addresses"),
    "v2 giant": (v2(0x21, 0x11, b"", 0xFFFF), "4096 bytes of extensions"),
    "v2 giant LOCAL": (v2(0x20, 0x00, b"", 0xFFFF), "4096 bytes of extensions"),
    "v2 one byte too large": (v2(0x21, 0x11, b"", 12 + MOST_TLV_BYTES + 1), "4096 bytes of extensions"),
    "v2 TLV cut": (v2(0x21, 0x11, V4 + b"\x02\0\x09a"), "longer than its header"),
}


@pytest.mark.parametrize(("data", "problem"), BAD.values(), ids=BAD)
def test_what_is_no_header_is_refused(data: bytes, problem: str) -> None:
    """Whole or byte by byte, and without waiting for more than decides it."""
    with pytest.raises(ProxyHeaderError, match=problem):
        ProxyParser().feed(data)
    with pytest.raises(ProxyHeaderError, match=problem):
        fed_byte_by_byte(data)


@pytest.mark.parametrize("data", [b"\x16", b"PROXx", SIGNATURE[:4] + b"\r"])
def test_the_first_wrong_byte_decides(data: bytes) -> None:
    """Nobody waits for the deadline who has shown that he speaks something else."""
    parser = ProxyParser()
    assert parser.feed(data[:-1]) is None
    with pytest.raises(ProxyHeaderError):
        parser.feed(data[-1:])


BEGINNINGS = st.sampled_from(
    [b"", b"PROXY TCP4 ", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11", SIGNATURE + b"\x21\x11\0\x20" + V4]
)


@given(BEGINNINGS, st.binary(max_size=300), st.lists(st.integers(0, 350), max_size=6))
@pytest.mark.row(19)
def test_anything_is_a_header_a_beginning_or_a_refusal(beginning: bytes, data: bytes, cuts: list[int]) -> None:
    """Whatever a stranger sends: the same outcome however it is cut, and never another exception."""
    data = beginning + data

    def outcome(pieces: list[bytes]) -> tuple[object, bytes]:
        parser = ProxyParser()
        for number, piece in enumerate(pieces):
            try:
                header = parser.feed(piece)
            except ProxyHeaderError:
                return "refused", b""
            if header is not None:
                return header, parser.rest + b"".join(pieces[number + 1 :])
        assert len(parser._buffer) < 16 + 216 + MOST_TLV_BYTES
        return None, b""

    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(places)]
    assert outcome(pieces) == outcome([data])
