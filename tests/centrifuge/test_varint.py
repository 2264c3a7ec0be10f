"""Varints are Protobuf's."""

from __future__ import annotations

import pytest
from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]  # not in the stubs
from hypothesis import given
from hypothesis import strategies as st

from portcast.centrifuge.varint import varint


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\x01"),
        (2**64 - 1, b"\xff" * 9 + b"\x01"),
    ],
)
def test_at_the_edges(value: int, encoded: bytes) -> None:
    """Each further byte holds seven bits more."""
    assert varint(value) == encoded


@given(st.integers(0, 2**64 - 1))
def test_as_protobuf_does(value: int) -> None:
    """Every length and offset."""
    assert varint(value) == _VarintBytes(value)
