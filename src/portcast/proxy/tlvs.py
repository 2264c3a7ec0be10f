"""The extensions of a PROXY header of version 2 (specification §2.2): type-length-value, and the checksum among them.

::

    0      type
    1-2    length, big endian, of the value alone
    3-     value

A type that means something to us may come once only: two names for one connection are one too many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from portcast.errors import ProxyHeaderError
from portcast.proxy.header import ProxyTls

ALPN, AUTHORITY, CRC32C, NOOP, UNIQUE_ID, SSL, NETNS = 0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30
SSL_TEXTS: Final = {
    0x21: "version",
    0x22: "common_name",
    0x23: "cipher",
    0x24: "signature_algorithm",
    0x25: "key_algorithm",
}
"""By type, the field of `ProxyTls`."""
MOST_UNIQUE_ID_BYTES = 128

# Bits of the first byte of an SSL extension.
_IS_TLS, _CERTIFICATE_HERE, _CERTIFICATE_IN_SESSION = 0x01, 0x02, 0x04

_CASTAGNOLI: Final = 0x82F63B78


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE: Final = _crc32c_table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (RFC 9260 appendix A) of ``data``."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def extensions(header: bytes, start: int) -> dict[str, Any]:
    """Return what the extensions of a whole header say, as fields of `ProxyHeader`.

    Args:
        header: all of it, signature included: a checksum covers it.
        start: where the first extension begins.

    Raises:
        ProxyHeaderError: one is cut short, comes twice, has a wrong length, text that is not UTF-8, or a checksum that
            does not fit.
    """
    fields: dict[str, Any] = {}
    tlvs = []
    seen = set()
    for kind, at, value in _split(header, start):
        tlvs.append((kind, value))
        if kind in (ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL, NETNS):
            if kind in seen:
                raise ProxyHeaderError(f"the extension 0x{kind:02x} comes twice")
            seen.add(kind)
        if kind == ALPN:
            fields["alpn"] = value
        elif kind == AUTHORITY:
            fields["authority"] = _text(value, "the authority")
        elif kind == NETNS:
            fields["netns"] = _text(value, "the network namespace")
        elif kind == UNIQUE_ID:
            if len(value) > MOST_UNIQUE_ID_BYTES:
                raise ProxyHeaderError(f"a unique id has at most {MOST_UNIQUE_ID_BYTES} bytes, this one {len(value)}")
            fields["unique_id"] = value
        elif kind == CRC32C:
            _check(header, at, value)
        elif kind == SSL:
            fields["tls"] = _tls(value)
    fields["tlvs"] = tuple(tlvs)
    return fields


def _split(data: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, place of the value, and value."""
    at = start
    while at < len(data):
        value_at = at + 3
        if value_at > len(data):
            raise ProxyHeaderError("the last extension is cut short")
        end = value_at + int.from_bytes(data[at + 1 : value_at], "big")
        if end > len(data):
            raise ProxyHeaderError(f"the extension 0x{data[at]:02x} is longer than its header")
        yield data[at], value_at, data[value_at:end]
        at = end


def _check(header: bytes, at: int, value: bytes) -> None:
    """Check a checksum: of the whole header, with its own four bytes as zeros (§2.2.3)."""
    if len(value) != 4:
        raise ProxyHeaderError(f"a checksum has 4 bytes, this one {len(value)}")
    if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != int.from_bytes(value, "big"):
        raise ProxyHeaderError("the checksum does not fit")


def _tls(value: bytes) -> ProxyTls | None:
    """Return what an SSL extension says: one byte of bits, four of the verification's result, then text (§2.2.6)."""
    if len(value) < 5:
        raise ProxyHeaderError(f"an SSL extension has at least 5 bytes, this one {len(value)}")
    bits, result = value[0], int.from_bytes(value[1:5], "big")
    texts: dict[str, str] = {}
    for kind, _, text in _split(value, 5):
        name = SSL_TEXTS.get(kind)
        if name is None:
            continue
        if name in texts:
            raise ProxyHeaderError(f"the SSL extension 0x{kind:02x} comes twice")
        texts[name] = _text(text, f"the SSL extension 0x{kind:02x}")
    if not bits & _IS_TLS:
        return None
    is_verified = bool(bits & (_CERTIFICATE_HERE | _CERTIFICATE_IN_SESSION)) and result == 0
    return ProxyTls(bool(bits & _CERTIFICATE_HERE), is_verified, **texts)


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProxyHeaderError(f"{what} is not UTF-8") from None
