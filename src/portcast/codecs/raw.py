"""Frames as they are."""

from __future__ import annotations

from portcast.errors import CodecError


class BytesCodec:
    """The frame is the message."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """``bytes``."""
        return "bytes"

    def decode(self, frame: bytes) -> bytes:
        """Return ``frame`` itself."""
        return frame

    def encode(self, value: bytes) -> bytes:
        """Return ``value``; a bytearray or memoryview is copied.

        Raises:
            CodecError: it is none of these.
        """
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise CodecError("bytes", f"expected bytes, got {type(value).__name__}")
