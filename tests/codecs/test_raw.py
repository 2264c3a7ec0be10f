from __future__ import annotations

import pytest

from portcast.codecs import BytesCodec
from portcast.errors import CodecError


def test_the_frame_is_the_message() -> None:
    """Nothing is copied on the way in."""
    frame = b"\x00\xff"
    assert BytesCodec().name == "bytes"
    assert BytesCodec().decode(frame) is frame


@pytest.mark.parametrize(
    "value", [b"ab", bytearray(b"ab"), memoryview(b"ab")], ids=["bytes", "bytearray", "memoryview"]
)
def test_anything_of_bytes_can_be_sent(value: bytes) -> None:
    """A buffer that may change later is copied."""
    encoded = BytesCodec().encode(value)
    assert encoded == b"ab"
    assert type(encoded) is bytes


def test_something_else_cannot_be_sent() -> None:
    """`bytes(5)` would be five zeros: the type is checked."""
    with pytest.raises(CodecError, match="expected bytes, got int"):
        BytesCodec().encode(5)  # type: ignore[arg-type]  # the mistake under test
