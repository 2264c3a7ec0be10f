"""Protobuf's variable-length integers: seven bits a byte, least significant first, the high bit on all but the last.

::

    300 = 0b10_0101100      AC 02
"""

from __future__ import annotations

_ONE = [bytes((value,)) for value in range(0x80)]


def varint(value: int) -> bytes:
    """Return an unsigned integer as a varint: 1 byte up to 127, 2 up to 16 383, 10 for 2⁶⁴-1."""
    if value < 0x80:
        return _ONE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
