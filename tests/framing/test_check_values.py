"""Check values against their published results."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcast.framing.check_values import crc16_ccitt, crc16_modbus, crc16_x25, crc32, sum_of, xor_of

# "Catalogue of parametrised CRC algorithms" (reveng): the check column is the CRC of these nine bytes.
NINE = b"123456789"


@pytest.mark.parametrize(
    ("function", "check"),
    [
        (crc16_modbus, 0x4B37),
        (crc16_ccitt, 0x29B1),
        (crc16_x25, 0x906E),
        (crc32, 0xCBF43926),
        (xor_of, 0x31),
        (sum_of, 0xDD),
    ],
)
def test_catalogue(function: Callable[[bytes], int], check: int) -> None:
    """Each algorithm is the one that it says it is."""
    assert function(NINE) == check


@pytest.mark.parametrize(
    ("function", "value"),
    [(crc16_modbus, 0xFFFF), (crc16_ccitt, 0xFFFF), (crc16_x25, 0), (crc32, 0), (xor_of, 0), (sum_of, 0)],
)
def test_nothing(function: Callable[[bytes], int], value: int) -> None:
    """No bytes give the initial value."""
    assert function(b"") == value


@given(st.binary(max_size=50))
def test_x25_bit_by_bit(data: bytes) -> None:
    """The fast way equals the definition in RFC 1662 appendix C."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8408 if crc & 1 else 0)
    assert crc16_x25(data) == crc ^ 0xFFFF
