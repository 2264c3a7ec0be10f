"""Checks that several framings make when they are built: a configuration that cannot work is refused at once."""

from __future__ import annotations

from typing import get_args

from portcast.errors import ConfigurationError
from portcast.framing.base import DEFAULT_MAX_FRAME


def check_choice(key: str, value: str, choices: object) -> None:
    """Refuse ``value`` unless it is one of the strings of the `Literal` type ``choices``.

    Raises:
        ConfigurationError: it is not.
    """
    allowed = get_args(choices)
    if value not in allowed:
        raise ConfigurationError(key, f"{value!r} is not a choice", "use one of " + ", ".join(allowed))


MOST = 1 << 30
"""Largest number that any framing takes: a frame of 1 GiB. What is larger is a slip of the pen, and no bound."""


def check_at_least(key: str, value: int, least: int) -> None:
    """Refuse a number below ``least`` or above `MOST`.

    Raises:
        ConfigurationError: ``value`` is not in that range.
    """
    if value < least:
        raise ConfigurationError(key, f"{value} is too small", f"use at least {least}")
    if value > MOST:
        raise ConfigurationError(key, f"{value:.7g} is too large", f"use at most {MOST}")


def check_not_empty(key: str, value: bytes) -> None:
    """Refuse an empty marker, and text where bytes belong.

    Raises:
        ConfigurationError: ``value`` is not bytes or has no byte.
    """
    if not isinstance(value, bytes):
        raise ConfigurationError(key, f"expected bytes, not {type(value).__name__}", 'write b"…"')
    if not value:
        raise ConfigurationError(key, "is empty", "give at least one byte")


def fit_bound(max_frame: int, largest: int, what: str) -> int:
    """Return the bound to use where a length field can say no more than ``largest``.

    The default bound gives way to a smaller field; a bound that the user wrote is refused if it can never be reached,
    because then it is not what limits the frame.

    Args:
        max_frame: the configured bound.
        largest: the largest frame that the field can announce.
        what: the field in words, for the error.

    Raises:
        ConfigurationError: ``max_frame`` is not the default and larger than ``largest``.
    """
    if max_frame <= largest:
        return max_frame
    if max_frame == DEFAULT_MAX_FRAME:
        return largest
    raise ConfigurationError(
        "max_frame", f"{max_frame} is more than {what} can say", f"use at most {largest}, or leave it out"
    )


def size_text(size: int) -> str:
    """Return ``size`` bytes as people write it: ``64 KiB``, ``1 MiB``, ``100 bytes``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"
