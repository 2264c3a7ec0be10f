"""Frames that say their own length in a binary field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import index
from typing import Literal, TypeAlias

from portcast.errors import CodecError, ConfigurationError, FramingError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, check_choice, fit_bound, size_text

ByteOrder: TypeAlias = Literal["big", "little"]
"""Which byte of a number comes first: the most (``big``) or the least significant (``little``)."""


@dataclass(frozen=True, slots=True)
class LengthFieldFraming:
    """Frames with a header that holds a length, as Netty's and tokio's length field decoders read it.

    ::

         offset 0           length_field_offset            header end
        +------------------+------------------------------+-----------------------------------+
        | magic, and other | length field, unsigned,      | value + length_adjustment bytes   |
        | header bytes     | length_field_length bytes    |                                   |
        +------------------+------------------------------+-----------------------------------+
        |<- - - bytes_to_strip - - ->|                         (removed from what is delivered)
        |<- - - - - - - - - - whole frame: at most max_frame bytes - - - - - - - - - - - - - ->|

    So the whole frame has ``length_field_offset + length_field_length + value + length_adjustment`` bytes. If the value
    counts the whole frame, the adjustment is minus the header; if a trailer is not counted, it is plus the trailer.

    Attributes:
        length_field_offset: bytes before the length field.
        length_field_length: bytes of the field, 1 to 8.
        byte_order: ``big`` or ``little``.
        length_adjustment: added to the value; may be negative.
        bytes_to_strip: bytes removed from the front of each frame. 0: the header is delivered.
        magic: what every frame begins with; bytes before it are skipped and counted. Empty: not checked.
        max_frame: most bytes of a whole frame, header included, checked as soon as the header is read. 64 KiB, or what
            the field can say if that is less.
        length: for what a field cannot say: takes the first ``header_size`` bytes and returns the size of the whole
            frame. It replaces the four ``length_…`` and ``byte_order`` options. What it raises, other than a
            `FramingError`, is reported as a malformed frame.
        header_size: bytes that ``length`` needs.

    Raises:
        ConfigurationError: a field of no or more than 8 bytes, a bound that the field cannot say or below the header,
            an adjustment that makes every length negative, a magic that reaches into the field, or ``length`` without
            ``header_size``, or together with the options that it replaces.
    """

    length_field_offset: int = 0
    length_field_length: int = 2
    byte_order: ByteOrder = "big"
    length_adjustment: int = 0
    bytes_to_strip: int = 0
    magic: bytes = b""
    max_frame: int = DEFAULT_MAX_FRAME
    length: Callable[[bytes], int] | None = None
    header_size: int = 0

    def __post_init__(self) -> None:
        check_choice("byte_order", self.byte_order, ByteOrder)
        check_at_least("length_field_offset", self.length_field_offset, 0)
        check_at_least("bytes_to_strip", self.bytes_to_strip, 0)
        check_at_least("max_frame", self.max_frame, 1)
        if not 1 <= self.length_field_length <= 8:
            raise ConfigurationError("length_field_length", f"{self.length_field_length} bytes", "use 1 to 8")
        if self.length is None:
            self._check_field()
        else:
            self._check_callable()
        room = self._header if self.length is not None else self.length_field_offset
        if len(self.magic) > room:
            raise ConfigurationError("magic", f"has {size_text(len(self.magic))}", f"only {room} lie before the length")
        if self._smallest > self.max_frame:
            raise ConfigurationError(
                "max_frame", f"{self.max_frame} is less than the smallest frame", f"use at least {self._smallest}"
            )

    def _check_field(self) -> None:
        if self.header_size:
            raise ConfigurationError("header_size", "is only for `length`", "leave it out")
        largest = (1 << 8 * self.length_field_length) - 1 + self.length_adjustment + self._header
        if largest < self._smallest:
            raise ConfigurationError(
                "length_adjustment", f"{self.length_adjustment} makes every length too small", "use a larger one"
            )
        what = f"a length field of {size_text(self.length_field_length)}"
        object.__setattr__(self, "max_frame", fit_bound(self.max_frame, largest, what))

    def _check_callable(self) -> None:
        check_at_least("header_size", self.header_size, 1)
        replaced = (self.length_field_offset, self.length_field_length, self.byte_order, self.length_adjustment)
        if replaced != (0, 2, "big", 0):
            raise ConfigurationError("length", "replaces the length field's options", "leave those out")

    @property
    def _header(self) -> int:
        """Bytes that tell the length."""
        return self.header_size or self.length_field_offset + self.length_field_length

    @property
    def _smallest(self) -> int:
        """Bytes of the smallest whole frame."""
        return max(self._header, self.bytes_to_strip)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _LengthFieldDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        """Return the whole frame that is delivered as ``frame``.

        With ``bytes_to_strip=0`` that is ``frame`` itself, after a check of its length field. Otherwise the bytes that
        were stripped are put back, which is possible if they are the magic, or the magic and the length field.

        Raises:
            CodecError: the header of ``frame`` says another length, or the stripped bytes are not known.
        """
        whole = self._with_header(frame)
        try:
            announced = self._measure(whole[: self._header]) if len(whole) >= self._header else -1
        except FramingError as error:
            raise CodecError("length_field", str(error)) from error
        if announced != len(whole) or not whole.startswith(self.magic):
            raise CodecError("length_field", f"the header does not announce a frame of {size_text(len(whole))}")
        return whole

    def _with_header(self, frame: bytes) -> bytes:
        stripped = self.bytes_to_strip
        if stripped <= len(self.magic):
            return self.magic[:stripped] + frame
        if self.length is not None or stripped != self._header or len(self.magic) != self.length_field_offset:
            raise CodecError("length_field", "the stripped header bytes are not known; use bytes_to_strip=0")
        value = len(frame) - self.length_adjustment
        if not 0 <= value < 1 << 8 * self.length_field_length:
            raise CodecError("length_field", f"{size_text(len(frame))} do not fit the length field")
        return self.magic + value.to_bytes(self.length_field_length, self.byte_order) + frame

    def _measure(self, header: bytes) -> int:
        """Return the size of the whole frame that ``header`` announces; it may be nonsense.

        Raises:
            FramingError: ``length`` raised.
        """
        if self.length is None:
            value = int.from_bytes(header[self.length_field_offset :], self.byte_order)
            return self._header + value + self.length_adjustment
        try:
            return index(self.length(header))
        except FramingError:
            raise
        except Exception as error:  # whatever the user's function raises is this frame's fault
            expected = f"a header that `length` understands (it raised {type(error).__name__})"
            raise FramingError(expected, len(header), header) from error


class _LengthFieldDecoder(CuttingDecoder):
    """Reads the header once it is held, refuses what it announces, or waits for that many bytes."""

    __slots__ = ("_extra", "_field", "_framing", "_header", "_largest", "_smallest", "_stripped")

    def __init__(self, framing: LengthFieldFraming) -> None:
        super().__init__()
        self._framing = framing
        self._header = framing._header
        self._field = framing.length_field_offset
        self._extra = framing._header + framing.length_adjustment
        self._smallest = framing._smallest
        self._largest = framing.max_frame
        self._stripped = framing.bytes_to_strip

    def _expected(self) -> str:
        return f"a frame of {size_text(self._need)}" if self._need > self._header else "a header"

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        framing = self._framing
        if framing.magic and (self._is_lost or not buffer.startswith(framing.magic, start)):
            begin = self._synchronise(buffer, start, framing.magic)
            if begin != start or len(buffer) - start < len(framing.magic):
                # What is held may be a beginning of the magic; the next byte can tell.
                self._need = 0
                return begin
        body = start + self._header
        if body > len(buffer):
            self._need = self._header
            return start
        if framing.length is None:
            total = int.from_bytes(buffer[start + self._field : body], framing.byte_order) + self._extra
        else:
            try:
                total = framing._measure(bytes(buffer[start:body]))
            except FramingError as error:
                self.error = error
                return start
        after = start + total
        if not self._smallest <= total <= self._largest:
            self._refuse(total, buffer[start:body])
            return start
        if after > len(buffer):
            self._need = total
            return start
        frames.append(bytes(buffer[start + self._stripped : after]))
        return after

    def _refuse(self, total: int, header: Buffer) -> None:
        framing = self._framing
        if total > framing.max_frame:
            self._fail(OversizeFrameError, f"at most {size_text(framing.max_frame)}", total, header)
        else:
            expected = f"a length of at least {framing._smallest} for the whole frame, not {total}"
            self._fail(FramingError, expected, len(header), header)

    def _finish(self, frames: list[bytes]) -> None:
        magic = self._framing.magic
        if len(self._held) < len(magic):
            self.skipped_bytes += len(self._held)
            return
        super()._finish(frames)
