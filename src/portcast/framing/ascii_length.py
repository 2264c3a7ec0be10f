"""Frames that say their length in decimal digits: octet counting, netstrings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from portcast.errors import CodecError, ConfigurationError, FramingError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, check_not_empty, fit_bound, size_text

_DIGITS = b"0123456789"
_MOST_DIGITS = 19
"""A count of more digits would pass every file system's largest file; `int` is also slow on long texts."""


@dataclass(frozen=True, slots=True)
class AsciiLengthFraming:
    """Frames with their length in front as ASCII digits; what is delivered are the bytes that the length counts.

    ::

        +------------------+-----------+------------------------+---------+
        | 1 to max_digits  | separator | as many bytes as the   | trailer |
        | decimal digits   |           | digits say             |         |
        +------------------+-----------+------------------------+---------+

    Attributes:
        separator: ends the digits; does not begin with a digit.
        max_digits: most digits, 1 to 19. 10.
        trailer: follows every frame, and is not counted by the length. Empty: nothing follows.
        leading_zeros: accept ``007``. A lone ``0`` is always accepted.
        max_frame: most bytes that the digits may announce. 64 KiB, or what they can say if that is less.

    Raises:
        ConfigurationError: an empty separator or one that begins with a digit, a number of digits out of range, or a
            bound that the digits cannot say.
    """

    separator: bytes = b" "
    max_digits: int = 10
    trailer: bytes = b""
    leading_zeros: bool = True
    max_frame: int = DEFAULT_MAX_FRAME

    def __post_init__(self) -> None:
        check_not_empty("separator", self.separator)
        if self.separator[0] in _DIGITS:
            raise ConfigurationError("separator", "begins with a digit", "use another one")
        if not 1 <= self.max_digits <= _MOST_DIGITS:
            raise ConfigurationError("max_digits", f"{self.max_digits} is out of range", f"use 1 to {_MOST_DIGITS}")
        check_at_least("max_frame", self.max_frame, 1)
        bound = fit_bound(self.max_frame, 10**self.max_digits - 1, f"a number of {self.max_digits} digits")
        object.__setattr__(self, "max_frame", bound)

    @classmethod
    def octet_counting(cls, max_frame: int = DEFAULT_MAX_FRAME) -> AsciiLengthFraming:
        """Return the framing of syslog over TCP or TLS: ``11 <34>1 - …`` (RFC 6587 §3.4.1, RFC 5425 §4.3)."""
        return cls(separator=b" ", leading_zeros=False, max_frame=max_frame)

    @classmethod
    def netstring(cls, max_frame: int = DEFAULT_MAX_FRAME) -> AsciiLengthFraming:
        """Return the framing of netstrings: ``5:hello,`` (D. J. Bernstein, 1997)."""
        return cls(separator=b":", trailer=b",", leading_zeros=False, max_frame=max_frame)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _AsciiLengthDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` with its length in front and the trailer behind.

        Raises:
            CodecError: its length needs more than ``max_digits`` digits.
        """
        digits = b"%d" % len(frame)
        if len(digits) > self.max_digits:
            raise CodecError("ascii_length", f"{size_text(len(frame))} need more than {self.max_digits} digits")
        return digits + self.separator + frame + self.trailer


@lru_cache(maxsize=64)
def _header_pattern(framing: AsciiLengthFraming) -> re.Pattern[bytes]:
    """Return the pattern of a whole header; a match is certain, since a separator does not begin with a digit."""
    first = b"[0-9]" if framing.leading_zeros else b"0|[1-9]"
    digits = b"%b[0-9]{0,%d}" % (first, framing.max_digits - 1)
    return re.compile(b"(%b)%b" % (digits, re.escape(framing.separator)))


class _AsciiLengthDecoder(CuttingDecoder):
    """Reads at most ``max_digits`` and a separator, then waits for what they announce."""

    __slots__ = ("_framing", "_match_header")

    def __init__(self, framing: AsciiLengthFraming) -> None:
        super().__init__()
        self._framing = framing
        self._match_header = _header_pattern(framing).match

    def _expected(self) -> str:
        return f"a frame of {size_text(self._need)}" if self._need else "digits and a separator"

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        framing = self._framing
        header = self._match_header(buffer, start)
        if header is None:
            self._check_beginning(bytes(buffer[start : start + framing.max_digits + len(framing.separator)]))
            return start
        length = int(header[1])
        body = header.end()
        if length > framing.max_frame:
            self._fail(OversizeFrameError, f"at most {size_text(framing.max_frame)}", length, header[0])
            return start
        end = body + length
        after = end + len(framing.trailer)
        if after > len(buffer):
            self._need = after - start
            return start
        if not buffer.startswith(framing.trailer, end):
            expected = f"{framing.trailer!r} after {size_text(length)}"
            self._fail(FramingError, expected, after - start, buffer[start:after])
            return start
        frames.append(bytes(buffer[body:end]))
        return after

    def _check_beginning(self, window: bytes) -> None:
        """Set `error` if ``window`` cannot become a length and a separator, else wait for the next byte."""
        self._need = 0
        # The shortest beginning that is wrong, so that the error does not depend on how much has arrived.
        for size in range(1, len(window) + 1):
            if not self._can_begin(window[:size]):
                framing = self._framing
                expected = f"at most {framing.max_digits} digits and {framing.separator!r}"
                self._fail(FramingError, expected, size, window[:size])
                return

    def _can_begin(self, window: bytes) -> bool:
        framing = self._framing
        rest = window.lstrip(_DIGITS)
        digits = len(window) - len(rest)
        if digits > framing.max_digits or (digits > 1 and window[0] == _DIGITS[0] and not framing.leading_zeros):
            return False
        return not rest or (digits > 0 and framing.separator.startswith(rest))
