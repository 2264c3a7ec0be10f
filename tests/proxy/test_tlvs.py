"""Tests of `portcast.proxy.tlvs`."""

from __future__ import annotations

import pytest

from portcast.errors import ProxyHeaderError
from portcast.proxy import ProxyTls
from portcast.proxy.tlvs import crc32c, extensions


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        # RFC 3720 appendix B.4.
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_the_checksum_is_castagnolis(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


def test_nothing_says_nothing() -> None:
    assert extensions(b"head", 4) == {"tlvs": ()}


def test_each_extension_has_its_field() -> None:
    data = (
        tlv(0x01, b"h2")
        + tlv(0x02, "bücher.example".encode())
        + tlv(0x05, b"\0id")
        + tlv(0x30, b"blue")
        + tlv(0xEA, b"v")
    )
    assert extensions(b"xx" + data, 2) == {
        "alpn": b"h2",
        "authority": "bücher.example",
        "unique_id": b"\0id",
        "netns": "blue",
        "tlvs": (
            (0x01, b"h2"),
            (0x02, "bücher.example".encode()),
            (0x05, b"\0id"),
            (0x30, b"blue"),
            (0xEA, b"v"),
        ),
    }


def test_padding_may_repeat() -> None:
    """NOOP is there to align; so may be what only a vendor knows."""
    data = tlv(0x04, bytes(5)) + tlv(0x04, b"") + tlv(0xEA, b"1") + tlv(0xEA, b"2")
    assert extensions(data, 0) == {"tlvs": ((4, bytes(5)), (4, b""), (0xEA, b"1"), (0xEA, b"2"))}


@pytest.mark.parametrize(
    ("bits", "result", "expected"),
    [
        (0x01, 1, ProxyTls(False, False, "TLSv1.3", "tracker-7", "AES", "SHA256", "RSA2048")),
        (0x03, 0, ProxyTls(True, True, "TLSv1.3", "tracker-7", "AES", "SHA256", "RSA2048")),
        (0x05, 0, ProxyTls(False, True, "TLSv1.3", "tracker-7", "AES", "SHA256", "RSA2048")),
        (0x03, 1, ProxyTls(True, False, "TLSv1.3", "tracker-7", "AES", "SHA256", "RSA2048")),
        # "verified" is zero also where there was no certificate to verify: that alone proves nobody.
        (0x01, 0, ProxyTls(False, False, "TLSv1.3", "tracker-7", "AES", "SHA256", "RSA2048")),
        (0x06, 0, None),
    ],
)
def test_what_the_proxy_says_of_tls(bits: int, result: int, expected: ProxyTls | None) -> None:
    texts = [b"TLSv1.3", b"tracker-7", b"AES", b"SHA256", b"RSA2048"]
    value = (
        bytes([bits]) + result.to_bytes(4, "big") + b"".join(map(tlv, range(0x21, 0x26), texts)) + tlv(0x2F, b"\xff")
    )
    assert extensions(tlv(0x20, value), 0).get("tls") == expected


def with_checksum(header: bytes) -> bytes:
    crc = crc32c(header + tlv(0x03, bytes(4)))
    return header + tlv(0x03, crc.to_bytes(4, "big"))


def test_a_checksum_covers_the_whole_header() -> None:
    header = with_checksum(b"head" + tlv(0x02, b"a.example"))
    assert extensions(header, 4)["authority"] == "a.example"
    for at in (0, 8, len(header) - 1):
        changed = bytearray(header)
        changed[at] ^= 1
        with pytest.raises(ProxyHeaderError, match="checksum"):
            extensions(bytes(changed), 4)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x01", "cut short"),
        (b"\x01\x00", "cut short"),
        (b"\x01\x00\x02h", "longer than its header"),
        (tlv(0x02, b"a") * 2, "comes twice"),
        (tlv(0x20, b"\x01\0\0\0\0" + tlv(0x22, b"a") + tlv(0x22, b"b")), "comes twice"),
        (tlv(0x20, b"\x01\0\0\0"), "at least 5 bytes"),
        (tlv(0x20, b"\x01\0\0\0\0\x22"), "cut short"),
        (tlv(0x20, b"\x01\0\0\0\0" + tlv(0x22, b"\xff")), "not UTF-8"),
        (tlv(0x02, b"\xff"), "not UTF-8"),
        (tlv(0x30, b"\xff"), "not UTF-8"),
        (tlv(0x05, bytes(129)), "at most 128 bytes"),
        (tlv(0x03, bytes(3)), "4 bytes"),
        (tlv(0x03, bytes(4)), "does not fit"),
    ],
)
def test_what_breaks_the_rules_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ProxyHeaderError, match=problem):
        extensions(data, 0)
