"""Frames that end in a byte string of the user's choice, or in one of several."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from portcast.errors import CodecError, ConfigurationError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer
from portcast.framing.delimited import DelimitedDecoder, OnOversize
from portcast.framing.validation import check_at_least, check_choice, check_not_empty


@dataclass(frozen=True, slots=True)
class DelimiterFraming:
    r"""Frames end in a delimiter, and may have to begin with a start marker.

    Of several delimiters the one that begins first ends the frame, and of those that begin at the same place the
    longest: ``\r\n`` beats ``\r``. So a delimiter that another one continues is only recognised with the next bytes, or
    at the end of the stream; `LineFraming` with ``any`` does not wait.

    Attributes:
        delimiter: one byte string, or a tuple of them. The first is the one that is written.
        keep_delimiter: deliver frames with their delimiter.
        start: where a frame must begin; bytes before it are skipped and counted. The marker stays in the frame. Empty:
            a frame begins where the one before ended.
        max_frame: most bytes of a frame as delivered. 64 KiB. With ``keep_delimiter`` that leaves room for the longest
            delimiter.
        on_oversize: ``close`` the connection, or ``discard`` the frame up to its delimiter and count its bytes.

    Raises:
        ConfigurationError: no delimiter or an empty one, one that ``start`` holds, a bound that leaves no room, or an
            ``on_oversize`` that is not a choice.
    """

    delimiter: bytes | tuple[bytes, ...]
    keep_delimiter: bool = False
    start: bytes = b""
    max_frame: int = DEFAULT_MAX_FRAME
    on_oversize: OnOversize = "close"

    def __post_init__(self) -> None:
        check_choice("on_oversize", self.on_oversize, OnOversize)
        if self.start:
            check_not_empty("start", self.start)
        if not self.delimiters:
            raise ConfigurationError("delimiter", "is empty", "give at least one delimiter")
        for delimiter in self.delimiters:
            check_not_empty("delimiter", delimiter)
            if delimiter in self.start:
                raise ConfigurationError("start", f"holds the delimiter {delimiter!r}", "use another start marker")
        check_at_least("max_frame", self.max_frame, 1 + len(self.start) + self._kept)

    @property
    def delimiters(self) -> tuple[bytes, ...]:
        """The delimiters as a tuple, also if there is one."""
        return (self.delimiter,) if isinstance(self.delimiter, bytes) else tuple(self.delimiter)

    @property
    def _kept(self) -> int:
        """Bytes of ``max_frame`` that are reserved for the delimiter."""
        return max(map(len, self.delimiters)) if self.keep_delimiter else 0

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        if len(self.delimiters) == 1 and not self.start:
            return _OneDelimiterDecoder(self)
        return _DelimiterDecoder(self)

    def encode(self, frame: bytes) -> bytes:
        """Return ``frame`` with the first delimiter; with ``keep_delimiter`` only if it does not end in one.

        Raises:
            CodecError: ``frame`` holds a delimiter, alone or together with the one that follows, or does not begin with
                the start marker.
        """
        delimiters = self.delimiters
        if not frame.startswith(self.start):
            raise CodecError("delimiter", f"the frame does not begin with {self.start!r}")
        whole = frame + delimiters[0]
        if self.keep_delimiter and frame.endswith(delimiters):
            whole = frame
        found = _finder(delimiters)(whole, len(self.start))
        if found is None or found[1] != len(whole):
            raise CodecError("delimiter", "the frame holds a delimiter")
        return whole


_Finder: TypeAlias = Callable[[Buffer, int], tuple[int, int] | None]


@lru_cache(maxsize=256)
def _finder(delimiters: tuple[bytes, ...]) -> _Finder:
    """Return a function that finds the first and there longest delimiter at or after an index: (begin, end)."""
    # An alternation takes the first branch that matches at the leftmost place, so longer ones stand first.
    search = re.compile(b"|".join(map(re.escape, sorted(delimiters, key=len, reverse=True)))).search

    def find(buffer: Buffer, first: int) -> tuple[int, int] | None:
        match = search(buffer, first)
        return match.span() if match else None

    return find


class _DelimiterDecoder(DelimitedDecoder):
    """Several delimiters, or a start marker."""

    __slots__ = ("_delimiters", "_finder", "_framing", "_has_ended")

    def __init__(self, framing: DelimiterFraming) -> None:
        self._framing = framing
        self._delimiters = framing.delimiters
        self._finder = _finder(self._delimiters)
        self._has_ended = False
        longest = max(map(len, self._delimiters))
        super().__init__(framing.max_frame - framing._kept, longest - 1, framing.on_oversize)

    def _expected(self) -> str:
        return "the delimiter " + " or ".join(map(repr, self._delimiters))

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        marker = self._framing.start
        if marker and not self._discarded:
            begin = self._synchronise(buffer, start, marker)
            if begin != start or len(buffer) - start < len(marker):
                return begin
        return super()._cut(buffer, start, frames)

    def _find(self, buffer: Buffer, start: int, first: int) -> tuple[int, int] | None:
        if not self._discarded:
            first = max(first, start + len(self._framing.start))
        found = self._finder(buffer, first)
        if found is None or self._has_ended or found[0] + self._spare + 1 <= len(buffer):
            return found
        # A longer delimiter may begin here, or one may begin before: the last bytes decide when more have come.
        for at in range(max(first, len(buffer) - self._spare), found[0] + 1):
            rest = bytes(buffer[at:])
            if any(delimiter.startswith(rest) and delimiter != rest for delimiter in self._delimiters):
                return None
        return found

    def _accept(self, buffer: Buffer, start: int, end: int, after: int, frames: list[bytes]) -> None:
        frames.append(bytes(buffer[start : after if self._framing.keep_delimiter else end]))

    def _finish(self, frames: list[bytes]) -> None:
        self._has_ended = True
        self._searched = 0
        del self._held[: self._cut_all(self._held, frames)]
        if self.error is not None:
            return
        if not self._discarded and len(self._held) < len(self._framing.start):
            self.skipped_bytes += len(self._held)
            return
        super()._finish(frames)


class _OneDelimiterDecoder(DelimitedDecoder):
    """One delimiter and no start marker: a whole read is split by one call."""

    __slots__ = ("_delimiter", "_keeps")

    def __init__(self, framing: DelimiterFraming) -> None:
        self._delimiter = framing.delimiters[0]
        self._keeps = framing.keep_delimiter
        super().__init__(framing.max_frame - framing._kept, len(self._delimiter) - 1, framing.on_oversize)

    def _expected(self) -> str:
        return f"the delimiter {self._delimiter!r}"

    def _find(self, buffer: Buffer, start: int, first: int) -> tuple[int, int] | None:
        at = buffer.find(self._delimiter, first)
        return None if at < 0 else (at, at + len(self._delimiter))

    def _accept(self, buffer: Buffer, start: int, end: int, after: int, frames: list[bytes]) -> None:
        frames.append(bytes(buffer[start : after if self._keeps else end]))

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the frames that they complete."""
        if self.error is not None:
            return []
        held = self._held
        delimiter = self._delimiter
        # A delimiter that lies half in an earlier read also goes the general way, which searches the border.
        if self._discarded or (held and delimiter not in data):
            return super().feed(data)
        whole = bytes(held) + data if held else data
        pieces = whole.split(delimiter)
        rest = pieces.pop()
        if not self._fits(whole, pieces, rest):
            return super().feed(data)
        if rest or held:
            self._hold(rest)
        return [piece + delimiter for piece in pieces] if self._keeps else pieces
