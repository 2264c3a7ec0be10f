"""Lines: text that ends in a line feed, a carriage return, or both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from portcast.errors import CodecError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer
from portcast.framing.delimited import DelimitedDecoder, OnOversize
from portcast.framing.validation import check_at_least, check_choice, size_text

Ending: TypeAlias = Literal["lf", "crlf", "cr", "any"]
"""Which bytes end a line; see `LineFraming`."""

_WRITTEN: Final[dict[Ending, bytes]] = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r", "any": b"\r\n"}
_CR: Final = 0x0D
_LF: Final = 0x0A
_ANY: Final = re.compile(rb"[\r\n]")


@dataclass(frozen=True, slots=True)
class LineFraming:
    r"""Frames are lines, delivered without their ending.

    ========  ==================================================  ============================================
    ending    ends a line                                         stays in the line
    ========  ==================================================  ============================================
    ``lf``    ``\n``; one ``\r`` directly before it belongs to it  any other ``\r``
    ``crlf``  ``\r\n``, strictly                                  a lone ``\r`` or ``\n``
    ``cr``    ``\r``                                              ``\n``
    ``any``   ``\r\n``, ``\n`` or ``\r``                          nothing
    ========  ==================================================  ============================================

    ``lf`` takes the carriage return along, as Go's ``bufio.ScanLines``, tokio's ``LinesCodec`` and Netty's line decoder
    do; for the byte ``\n`` and nothing else take `DelimiterFraming`. With ``any`` a line that ends in ``\r`` is
    delivered at once and a ``\n`` that follows, then or later, is swallowed, so a device that waits for an answer is
    not kept waiting. What is written ends in ``\n``, ``\r\n``, ``\r`` and ``\r\n``.

    Attributes:
        ending: see the table.
        strip: remove ASCII whitespace (space, ``\t``, ``\n``, ``\v``, ``\f``, ``\r``) at both ends of each line.
        skip_empty: do not deliver lines of no bytes (after ``strip``).
        max_frame: most bytes of a line before ``strip``, its ending not counted. 64 KiB.
        keep_last: deliver a last line that the end of the stream ends; otherwise that is a truncated frame.
        on_oversize: ``close`` the connection, or ``discard`` the long line and count its bytes as skipped.

    Raises:
        ConfigurationError: ``max_frame`` below 1, or an ``ending`` or ``on_oversize`` that is not a choice.
    """

    ending: Ending = "lf"
    strip: bool = False
    skip_empty: bool = False
    max_frame: int = DEFAULT_MAX_FRAME
    keep_last: bool = False
    on_oversize: OnOversize = "close"

    def __post_init__(self) -> None:
        check_choice("ending", self.ending, Ending)
        check_choice("on_oversize", self.on_oversize, OnOversize)
        check_at_least("max_frame", self.max_frame, 1)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _AnyLineDecoder(self) if self.ending == "any" else _LineDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        r"""Return ``frame`` with its ending.

        Raises:
            CodecError: the receiver would see another line: ``frame`` holds the ending, or for ``lf`` ends in ``\r``.
        """
        ending = self.ending
        clash = (
            b"\n" in frame or frame[-1:] == b"\r"
            if ending == "lf"
            else b"\r\n" in frame
            if ending == "crlf"
            else b"\r" in frame or (ending == "any" and b"\n" in frame)
        )
        if clash:
            raise CodecError("lines", f"the frame holds a line ending ({ending})")
        return frame + _WRITTEN[ending]


class _LineDecoder(DelimitedDecoder):
    r"""``lf``, ``crlf`` and ``cr``: a whole read is split by one call; the general path is for what is too long."""

    __slots__ = ("_delimiter", "_drops_cr", "_framing")

    def __init__(self, framing: LineFraming) -> None:
        self._framing = framing
        self._drops_cr = framing.ending == "lf"
        self._delimiter = _WRITTEN[framing.ending]
        super().__init__(framing.max_frame, 0 if framing.ending == "cr" else 1, framing.on_oversize)

    def _expected(self) -> str:
        return f"the end of a line ({self._framing.ending})"

    def _find(self, buffer: Buffer, start: int, first: int) -> tuple[int, int] | None:
        at = buffer.find(self._delimiter, first)
        if at < 0:
            return None
        end = at - 1 if self._drops_cr and at > start and buffer[at - 1] == _CR else at
        return end, at + len(self._delimiter)

    def _is_split(self, data: bytes) -> bool:
        r"""Return True if a ``\r\n`` lies half in what is held and half in ``data``."""
        return len(self._delimiter) > 1 and self._held[-1] == _CR and data[:1] == b"\n"

    def _split(self, whole: bytes) -> list[bytes]:
        if not self._drops_cr or b"\r" not in whole:
            return whole.split(self._delimiter)
        lines = whole.split(b"\r\n")
        if whole.count(b"\n") == len(lines) - 1:
            return lines
        # Only pairs vanish, so the `\r` of a frame that ends in `\r\r\n` stays, wherever the reads end.
        return whole.replace(b"\r\n", b"\n").split(b"\n")

    def _accept(self, buffer: Buffer, start: int, end: int, after: int, frames: list[bytes]) -> None:
        frames += _shape(self._framing, [bytes(buffer[start:end])])

    def feed(self, data: bytes) -> list[bytes]:
        if self.error is not None:
            return []
        held = self._held
        if self._discarded or (held and self._delimiter not in data and not self._is_split(data)):
            return super().feed(data)
        whole = bytes(held) + data if held else data
        lines = self._split(whole)
        rest = lines.pop()
        if not self._fits(whole, lines, rest):
            return super().feed(data)
        if rest or held:
            self._hold(rest)
        return _shape(self._framing, lines)

    def _finish(self, frames: list[bytes]) -> None:
        _finish_line(self, self._framing, frames)


class _AnyLineDecoder(DelimitedDecoder):
    r"""``any``: `bytes.splitlines` knows exactly these three endings.

    ``_swallows`` is True between a line that ended in ``\r`` at the very end of the input and the next byte.
    """

    __slots__ = ("_framing", "_swallows")

    def __init__(self, framing: LineFraming) -> None:
        self._framing = framing
        self._swallows = False
        # One byte is always enough to see that a line has ended.
        super().__init__(framing.max_frame, 0, framing.on_oversize)

    def _expected(self) -> str:
        return "the end of a line (any)"

    def _find(self, buffer: Buffer, start: int, first: int) -> tuple[int, int] | None:
        match = _ANY.search(buffer, first)
        if match is None:
            return None
        at = match.start()
        after = at + 1
        if buffer[at] == _CR:
            if after == len(buffer):
                self._swallows = True
            elif buffer[after] == _LF:
                after += 1
        return at, after

    def _accept(self, buffer: Buffer, start: int, end: int, after: int, frames: list[bytes]) -> None:
        frames += _shape(self._framing, [bytes(buffer[start:end])])

    def feed(self, data: bytes) -> list[bytes]:
        if self.error is not None or not data:
            return []
        if self._swallows:
            self._swallows = False
            if data[0] == _LF:
                data = data[1:]
                if not data:
                    return []
        held = self._held
        if self._discarded or (held and b"\n" not in data and b"\r" not in data):
            return super().feed(data)
        whole = bytes(held) + data if held else data
        lines = whole.splitlines()
        last = whole[-1]
        rest = b"" if last in (_LF, _CR) else lines.pop()
        if not self._fits(whole, lines, rest):
            return super().feed(data)
        self._swallows = last == _CR
        if rest or held:
            self._hold(rest)
        return _shape(self._framing, lines)

    def _finish(self, frames: list[bytes]) -> None:
        _finish_line(self, self._framing, frames)


def _shape(framing: LineFraming, lines: list[bytes]) -> list[bytes]:
    if framing.strip:
        lines = [line.strip() for line in lines]
    return [line for line in lines if line] if framing.skip_empty else lines


def _finish_line(decoder: _LineDecoder | _AnyLineDecoder, framing: LineFraming, frames: list[bytes]) -> None:
    """End the stream: the last line is delivered if the framing says so, else it was cut."""
    if not framing.keep_last or decoder._discarded or not decoder._held:
        DelimitedDecoder._finish(decoder, frames)
        return
    line = bytes(decoder._held)
    if framing.ending in ("lf", "crlf"):
        # A `\r` that waited for its `\n` is the beginning of an ending; a frame of `max_frame` bytes may have one.
        line = line.removesuffix(b"\r")
    if len(line) > framing.max_frame:
        expected = f"{decoder._expected()} within {size_text(framing.max_frame)}"
        decoder._fail(OversizeFrameError, expected, framing.max_frame + 1, line)
        return
    frames += _shape(framing, [line])
