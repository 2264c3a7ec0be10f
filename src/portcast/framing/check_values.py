"""Check values: xor, sum and cyclic redundancy checks, each as a function from bytes to a number.

=================  =====  ==========================================================================================
name               bytes  what it is
=================  =====  ==========================================================================================
``xor``            1      exclusive or of all bytes
``sum``            1      sum of all bytes, modulo 256
``crc16_modbus``   2      polynomial 0x8005 reflected, initial 0xFFFF (Modbus over serial line V1.02 §2.5.1.2)
``crc16_ccitt``    2      polynomial 0x1021, initial 0xFFFF, not reflected (CRC-16/IBM-3740, "CCITT-FALSE")
``crc16_x25``      2      polynomial 0x1021 reflected, initial and final XOR 0xFFFF (RFC 1662 appendix C.2, GT06)
``crc32``          4      polynomial 0x04C11DB7 reflected, initial and final XOR 0xFFFFFFFF (IEEE 802.3, zlib)
=================  =====  ==========================================================================================
"""

from __future__ import annotations

import binascii
import zlib
from functools import reduce
from operator import xor
from typing import Final


def _reflect(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


def _modbus_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_MODBUS: Final = _modbus_table()
_REFLECTED: Final = bytes(_reflect(byte, 8) for byte in range(256))


def xor_of(data: bytes) -> int:
    """Return the exclusive or of all bytes, 0 to 255."""
    return reduce(xor, data, 0)


def sum_of(data: bytes) -> int:
    """Return the sum of all bytes modulo 256."""
    return sum(data) & 0xFF


def crc16_modbus(data: bytes) -> int:
    """Return the CRC-16 of Modbus RTU; Modbus sends its low byte first."""
    crc = 0xFFFF
    table = _MODBUS
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc


def crc16_ccitt(data: bytes) -> int:
    """Return CRC-16/IBM-3740, usually sent high byte first."""
    return binascii.crc_hqx(data, 0xFFFF)


def crc16_x25(data: bytes) -> int:
    """Return the CRC-16 of X.25 and HDLC; HDLC sends its low byte first, GT06 its high byte."""
    # The same polynomial as `crc16_ccitt` with the bits of each byte and of the result in reverse order, so the C
    # function serves here too.
    return _reflect(binascii.crc_hqx(data.translate(_REFLECTED), 0xFFFF), 16) ^ 0xFFFF


def crc32(data: bytes) -> int:
    """Return the CRC-32 of Ethernet and zip."""
    return zlib.crc32(data)
