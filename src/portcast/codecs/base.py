"""The interface of codecs: frames to values and back."""

from __future__ import annotations

import struct
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")

HOSTILE = (ValueError, ArithmeticError, LookupError, AttributeError, EOFError, struct.error)
"""What parsers that others wrote raise when they meet values that nobody expected. AttributeError is what a field is
that this frame does not have: a key of construct's ``ctx.key``, an ``if`` in a .ksy file. TypeError is a fault of
theirs."""


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
