"""The interface of codecs: frames to values and back."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Codec(Protocol[T]):
    """Turns one frame into a message and back. Pure and shared by all connections."""

    @property
    def name(self) -> str:
        """One word for counters and errors, such as ``json`` or ``text``."""
        ...

    def decode(self, frame: bytes) -> T:
        """Return the message in ``frame``.

        Raises:
            CodecError: the frame is not a valid message; the connection goes on.
        """
        ...

    def encode(self, value: T) -> bytes:
        """Return ``value`` as a frame.

        Raises:
            CodecError: the value cannot be expressed.
        """
        ...
