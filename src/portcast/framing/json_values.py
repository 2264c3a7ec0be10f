"""JSON objects and arrays one after the other, with or without anything between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from portcast.errors import CodecError, FramingError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, size_text

_QUOTE: Final = 0x22
_CLOSERS: Final = {0x7B: 0x7D, 0x5B: 0x5D}
# Nothing is tried twice: without that, a string that never ends would be tried in exponentially many ways. Atomic
# groups, not possessive ones, because CPython before 3.11.5 matches those wrongly (gh-106052).
_INSIDE_STRING: Final = re.compile(rb'(?>(?:[^"\\]++|\\.)*)', re.DOTALL)
# The next bracket that is not in a string, or the quote of a string that does not end in the buffer.
_NEXT: Final = re.compile(rb'(?>(?:[^"{}\[\]]++|"(?>(?:[^"\\]++|\\.)*)")*)([{}\[\]"])', re.DOTALL)
_BETWEEN: Final = re.compile(rb"[ \t\r\n\x1e]*+")


@dataclass(frozen=True, slots=True)
class JsonFraming:
    """Frames are JSON objects or arrays, cut where their brackets balance; the JSON codec checks what is inside.

    Brackets in strings do not count, escapes in strings are respected. Between values JSON whitespace and the record
    separator 0x1E (RFC 7464) may stand; they are not delivered. A top-level number, string, ``true``, ``false`` or
    ``null`` is malformed: nothing says where ``12`` ends if ``123`` may still be arriving. Send such values as lines.

    Attributes:
        max_frame: most bytes of a value. 64 KiB.
        max_depth: most brackets open at once. 64: deeper than any device's message, far below any parser's recursion.

    Raises:
        ConfigurationError: ``max_frame`` below 2 or ``max_depth`` below 1.
    """

    max_frame: int = DEFAULT_MAX_FRAME
    max_depth: int = 64

    def __post_init__(self) -> None:
        check_at_least("max_frame", self.max_frame, 2)
        check_at_least("max_depth", self.max_depth, 1)

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        return _JsonDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        r"""Return ``frame`` and a ``\n``, for receivers that read lines.

        Raises:
            CodecError: it is not one object or array.
        """
        decoder = _JsonDecoder(JsonFraming(max_frame=max(2, len(frame)), max_depth=self.max_depth))
        if decoder.feed(frame) != [frame] or decoder.buffered or decoder.error is not None:
            raise CodecError("json", "the frame is not one JSON object or array", frame)
        return frame + b"\n"


class _JsonDecoder(CuttingDecoder):
    """Remembers the brackets that are open, how far it looked, and whether it stopped inside a string."""

    __slots__ = ("_framing", "_is_in_string", "_open", "_searched")

    def __init__(self, framing: JsonFraming) -> None:
        super().__init__()
        self._framing = framing
        # The closing brackets that must follow, innermost last. Empty between values.
        self._open = b""
        # Bytes of the held value that were looked at; never between a backslash and what it escapes.
        self._searched = 0
        self._is_in_string = False

    def _expected(self) -> str:
        return "the end of a JSON value"

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        if not self._open:
            match = _BETWEEN.match(buffer, start)
            begin = match.end() if match else start
            if begin != start or begin == len(buffer):
                return begin
            if buffer[start] not in _CLOSERS:
                self._fail(FramingError, "a JSON object or array", 1, buffer[start : start + 1])
                return start
        position = start + self._searched
        while True:
            if self._is_in_string:
                match = _INSIDE_STRING.match(buffer, position)
                position = match.end() if match else position
                if position >= len(buffer) or buffer[position] != _QUOTE:
                    break
                position += 1
                self._is_in_string = False
            match = _NEXT.match(buffer, position)
            if match is None:
                position = len(buffer)
                break
            position = match.end()
            if position - start > self._framing.max_frame or not self._step(buffer[position - 1]):
                self._refuse(buffer, start, position)
                return start
            if not self._open:
                frames.append(bytes(buffer[start:position]))
                self._searched = 0
                return position
        self._searched = position - start
        if len(buffer) - start > self._framing.max_frame:
            self._refuse(buffer, start, len(buffer))
        return start

    def _step(self, mark: int) -> bool:
        """Take a bracket or a quote; return False if it may not stand here."""
        if mark == _QUOTE:
            self._is_in_string = True
        elif mark in _CLOSERS:
            self._open += bytes((_CLOSERS[mark],))
            return len(self._open) <= self._framing.max_depth
        elif self._open[-1] == mark:
            self._open = self._open[:-1]
        else:
            return False
        return True

    def _refuse(self, buffer: Buffer, start: int, position: int) -> None:
        limit = self._framing.max_frame
        if position - start > limit:
            expected = f"{self._expected()} within {size_text(limit)}"
            self._fail(OversizeFrameError, expected, limit + 1, buffer[start : start + limit + 1])
        else:
            expected = f"balanced brackets, at most {self._framing.max_depth} deep"
            self._fail(FramingError, expected, position - start, buffer[start:position])
