r"""Reads the header with which a proxy begins a connection (HAProxy's PROXY protocol, versions 1 and 2).

Version 1 is a line of text, at most 107 bytes with its end (§2.1)::

    PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n

Version 2 is binary, numbers big endian (§2.2)::

    0-11    signature: 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A
    12      version 2 (high four bits), command: 0 LOCAL, 1 PROXY
    13      family: 0 none, 1 IPv4, 2 IPv6, 3 Unix (high four bits), protocol: 0 none, 1 stream, 2 datagram
    14-15   length of all that follows
    16-     addresses: 12, 36 or 216 bytes, then extensions (`portcast.proxy.tlvs`)

Whoever connects may send anything. Nothing is guessed: what does not begin like a header is refused with its first
wrong byte, and a length that we would not take is refused before it is waited for.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, Final

from portcast.errors import ProxyHeaderError
from portcast.proxy.header import Endpoint, ProxyHeader
from portcast.proxy.tlvs import extensions

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
PREFIX: Final = b"PROXY "
MOST_LINE_BYTES = 107
"""Of version 1, its end included: the worst case that the specification counts."""
MOST_TLV_BYTES = 4096
"""Of all extensions of one header: HAProxy and the clouds send some hundred bytes, certificates are not among them."""

_FIXED = 16
_ADDRESS_BYTES: Final = {0: 0, 1: 12, 2: 36, 3: 216}
"""By family: both addresses and, but for Unix, both ports."""


class ProxyParser:
    """Takes the beginning of a connection piece by piece, until it has a header.

    Attributes:
        rest: what came after the header; empty until there is one.
    """

    def __init__(self, max_tlv_bytes: int = MOST_TLV_BYTES) -> None:
        self.rest = b""
        self._max_tlv_bytes = max_tlv_bytes
        self._buffer = b""

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Return the header once all of it has come; not to be called after that.

        It keeps no more than the beginning of one header, plus the ``data`` of the last call.

        Raises:
            ProxyHeaderError: this is no header, or none that we take. It is final.
        """
        self._buffer += data
        size = self._size()
        if size is None or len(self._buffer) < size:
            return None
        header, self.rest, self._buffer = self._buffer[:size], self._buffer[size:], b""
        return _version_1(header[:-2]) if header.startswith(PREFIX) else _version_2(header)

    def _size(self) -> int | None:
        """Return how long the header is; None while that is not known."""
        beginning = self._buffer[: len(SIGNATURE)]
        if beginning.startswith(PREFIX):
            end = self._buffer.find(b"\r\n", 0, MOST_LINE_BYTES)
            if end < 0 and len(self._buffer) >= MOST_LINE_BYTES:
                raise ProxyHeaderError(f"the line does not end within {MOST_LINE_BYTES} bytes")
            return end + 2 if end >= 0 else None
        if PREFIX.startswith(beginning) or (SIGNATURE.startswith(beginning) and len(self._buffer) < _FIXED):
            return None
        if beginning != SIGNATURE:
            raise ProxyHeaderError("it does not begin with a PROXY header")
        command, family = self._buffer[12], self._buffer[13]
        length = int.from_bytes(self._buffer[14:16], "big")
        if command not in (0x20, 0x21):
            raise ProxyHeaderError(f"the version and command 0x{command:02x} are unknown")
        # Of LOCAL everything is skipped (§2.2), whatever family it names; its length is held to the largest.
        addresses = _address_bytes(family) if command == 0x21 else _ADDRESS_BYTES[3]
        if command == 0x21 and length < addresses:
            raise ProxyHeaderError(f"{length} bytes do not hold the addresses, which take {addresses}")
        if length > addresses + self._max_tlv_bytes:
            raise ProxyHeaderError(f"more than {self._max_tlv_bytes} bytes of extensions")
        return _FIXED + length


def _address_bytes(family: int) -> int:
    addresses = _ADDRESS_BYTES.get(family >> 4)
    if addresses is None or family & 0x0F > 2:
        raise ProxyHeaderError(f"the family and protocol 0x{family:02x} are unknown")
    if family & 0x0F == 2:
        raise ProxyHeaderError("it tells of datagrams, and this is a stream")
    # "Unspecified" in either half makes the addresses mean nothing (§2.2); what is there all the same is skipped.
    return addresses


def _version_1(line: bytes) -> ProxyHeader:
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        # Whatever follows must be ignored (§2.1).
        return ProxyHeader(1)
    if words[1] not in (b"TCP4", b"TCP6"):
        raise ProxyHeaderError("the protocol is not TCP4, TCP6 or UNKNOWN")
    if len(words) != 6:
        raise ProxyHeaderError(f"the line has {len(words)} words, not 6")
    kind = IPv4Address if words[1] == b"TCP4" else IPv6Address
    hosts = [_host(kind, word) for word in words[2:4]]
    ports = [_port(word) for word in words[4:]]
    return ProxyHeader(1, source=(hosts[0], ports[0]), destination=(hosts[1], ports[1]))


def _host(kind: type[IPv4Address | IPv6Address], word: bytes) -> str:
    try:
        # A scope ("%eth0") means something on the proxy's machine only.
        if b"%" not in word:
            return str(kind(word.decode("ascii")))
    except (UnicodeDecodeError, AddressValueError):
        pass
    raise ProxyHeaderError("an address is none of its family")


def _port(word: bytes) -> int:
    if word.isdigit() and len(word) <= 5 and (word == b"0" or not word.startswith(b"0")) and int(word) <= 0xFFFF:
        return int(word)
    raise ProxyHeaderError("a port is not a number from 0 to 65535")


def _version_2(header: bytes) -> ProxyHeader:
    if header[12] == 0x20:
        return ProxyHeader(2, is_local=True)
    family = header[13] >> 4 if header[13] & 0x0F else 0
    start = _FIXED + _ADDRESS_BYTES[header[13] >> 4]
    fields: dict[str, Any] = extensions(header, start)
    if family:
        fields["source"], fields["destination"] = _endpoints(header[_FIXED:start])
    return ProxyHeader(2, **fields)


def _endpoints(block: bytes) -> tuple[Endpoint, Endpoint]:
    """Return source and destination: both hosts, then both ports; or two paths, padded with null bytes."""
    if len(block) == _ADDRESS_BYTES[3]:
        return _path(block[:108]), _path(block[108:])
    kind, width = (IPv4Address, 4) if len(block) == _ADDRESS_BYTES[1] else (IPv6Address, 16)
    hosts = [str(kind(block[at : at + width])) for at in (0, width)]
    ports = [int.from_bytes(block[at : at + 2], "big") for at in (2 * width, 2 * width + 2)]
    return (hosts[0], ports[0]), (hosts[1], ports[1])


def _path(field: bytes) -> str:
    # An abstract name begins with a null byte; it shows as empty, like that of a socket without a name.
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")
