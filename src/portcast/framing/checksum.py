"""Frames that end in a check value: it is verified, and normally removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from portcast.errors import ChecksumError, ConfigurationError, FramingError
from portcast.framing.base import FrameDecoder, Framing
from portcast.framing.check_values import crc16_ccitt, crc16_modbus, crc16_x25, crc32, sum_of, xor_of
from portcast.framing.cutting import SingleFrameDecoder, single_frame_decoder
from portcast.framing.validation import check_at_least, check_choice

Algorithm: TypeAlias = Literal["xor", "sum", "crc16_modbus", "crc16_ccitt", "crc16_x25", "crc32", "nmea"]
"""How the check value is computed; see `portcast.framing.check_values`. ``nmea``: ``*`` and the xor as two digits."""

CheckByteOrder: TypeAlias = Literal["usual", "big", "little"]
"""Which byte of the check value comes first; ``usual`` is the order that the algorithm's own protocol uses."""

OnMismatch: TypeAlias = Literal["close", "discard"]
"""What a wrong check value costs: the connection, or only the frame (its bytes are counted as skipped)."""

_NMEA_STARTS: Final = (b"$", b"!")


@dataclass(frozen=True, slots=True)
class _Check:
    """How one algorithm is computed and written."""

    compute: Callable[[bytes], int]
    width: int
    order: Literal["big", "little"]


_CHECKS: Final[dict[str, _Check]] = {
    "xor": _Check(xor_of, 1, "big"),
    "sum": _Check(sum_of, 1, "big"),
    "crc16_modbus": _Check(crc16_modbus, 2, "little"),
    "crc16_ccitt": _Check(crc16_ccitt, 2, "big"),
    "crc16_x25": _Check(crc16_x25, 2, "little"),
    "crc32": _Check(crc32, 4, "little"),
    "nmea": _Check(xor_of, 3, "big"),
}


@dataclass(frozen=True, slots=True)
class ChecksumFraming:
    r"""Another framing whose frames end in a check value.

    ::

        |<- - - - - - - - - - - a frame of inner - - - - - - - - - - ->|
        +---------------+----------------------+-------------+---------+
        | skip bytes    | covered by the check | check value | tail    |
        +---------------+----------------------+-------------+---------+
        |<- - - - delivered if strip - - - - ->|

    ``nmea`` is ``*hh`` with the xor in hexadecimal, either case; a ``$`` or ``!`` at the front is not covered (NMEA
    0183, "Checksum field").

    Attributes:
        inner: cuts the frames. Let it keep the bytes that the check covers (``bytes_to_strip=0``).
        algorithm: see `Algorithm`.
        skip: bytes at the front that are not covered.
        byte_order: of the check value. ``usual``: low byte first for ``crc16_modbus``, ``crc16_x25`` and ``crc32``,
            high byte first for ``crc16_ccitt``. Bytes and ``nmea`` have no order.
        tail: bytes that must follow the check value, not covered: GT06 ends in ``\r\n``.
        strip: deliver frames without check value and tail.
        on_mismatch: ``close`` the connection, or ``discard`` the frame and count its bytes as skipped. A frame that is
            too short or has another tail is a mismatch.

    Raises:
        ConfigurationError: ``inner`` is not a framing, ``skip`` is negative, its bound leaves no room for a check
            value, or a choice does not exist.
    """

    inner: Framing
    algorithm: Algorithm
    skip: int = 0
    byte_order: CheckByteOrder = "usual"
    tail: bytes = b""
    strip: bool = True
    on_mismatch: OnMismatch = "close"

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Framing):
            raise ConfigurationError("inner", f"a {type(self.inner).__name__} is not a framing", "give one, built")
        check_choice("algorithm", self.algorithm, Algorithm)
        check_choice("byte_order", self.byte_order, CheckByteOrder)
        check_choice("on_mismatch", self.on_mismatch, OnMismatch)
        check_at_least("skip", self.skip, 0)
        least = self.skip + self._check.width + len(self.tail)
        if self.inner.max_frame < least:
            raise ConfigurationError("max_frame", f"{self.inner.max_frame} has no room", f"use at least {least}")

    @property
    def max_frame(self) -> int:
        """The bound of the inner framing; it includes the check value."""
        return self.inner.max_frame

    @property
    def _check(self) -> _Check:
        return _CHECKS[self.algorithm]

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _ChecksumDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` with check value and tail, in the inner framing.

        Raises:
            CodecError: the inner framing cannot carry it.
        """
        return self.inner.encode(frame + self._trailer(frame) + self.tail)

    def _trailer(self, body: bytes) -> bytes:
        """Return the check value of a frame whose bytes before the check value are ``body``."""
        covered = body[self.skip :]
        check = self._check
        if self.algorithm == "nmea":
            return b"*%02X" % check.compute(covered[1:] if covered.startswith(_NMEA_STARTS) else covered)
        order = check.order if self.byte_order == "usual" else self.byte_order
        return check.compute(covered).to_bytes(check.width, order)

    def _verified(self, frame: bytes) -> bytes | None:
        """Return what to deliver of ``frame``; None if its check value does not match."""
        end = len(frame) - len(self.tail)
        begin = end - self._check.width
        if begin < self.skip or frame[end:] != self.tail:
            return None
        body = frame[:begin]
        found = frame[begin:end]
        if (found.upper() if self.algorithm == "nmea" else found) != self._trailer(body):
            return None
        return body if self.strip else frame


class _ChecksumDecoder:
    """Lets the inner decoder cut, and judges each frame.

    The first fault in the stream counts: a mismatch comes before whatever the inner decoder finds behind that frame.
    """

    __slots__ = ("_discarded", "_error", "_framing", "_inner")

    def __init__(self, framing: ChecksumFraming) -> None:
        self._framing = framing
        self._inner: SingleFrameDecoder = single_frame_decoder(framing.inner.decoder())
        self._error: FramingError | None = None
        self._discarded = 0

    @property
    def error(self) -> FramingError | None:
        return self._error or self._inner.error

    @property
    def skipped_bytes(self) -> int:
        return self._inner.skipped_bytes + self._discarded

    @property
    def buffered(self) -> int:
        return 0 if self._error else self._inner.buffered

    @property
    def is_between(self) -> bool:
        return self._inner.is_between

    def feed(self, data: bytes) -> list[bytes]:
        return [] if self._error else self._judge(self._inner.feed(data))

    def take(self, data: bytes, start: int, frames: list[bytes]) -> int:
        if self._error:
            return len(data)
        found: list[bytes] = []
        position = self._inner.take(data, start, found)
        frames += self._judge(found)
        return position

    def end(self) -> list[bytes]:
        return [] if self._error else self._judge(self._inner.end())

    def _judge(self, frames: list[bytes]) -> list[bytes]:
        framing = self._framing
        good: list[bytes] = []
        for frame in frames:
            body = framing._verified(frame)
            if body is not None:
                good.append(body)
            elif framing.on_mismatch == "discard":
                self._discarded += len(frame)
            else:
                expected = f"a frame that ends in its {framing.algorithm} value"
                self._error = ChecksumError(expected, len(frame), frame)
                break
        return good
