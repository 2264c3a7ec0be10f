"""The base of decoders that search for an end: incremental search, the bound, and dropping what is too long.

Theory
======

Two states. *In a frame* (``_discarded == 0``): ``_held`` begins with the frame, whose first ``_searched`` bytes hold no
beginning of an end. *Discarding* (``_discarded > 0``): the frame was too long and bytes are dropped as they arrive,
until an end is found.

``_spare`` is how much of an end can lie in the buffer without being recognised: its longest form less one byte. So a
frame of exactly ``_limit`` bytes needs ``_limit + _spare`` bytes to be held, and a frame is too long, for certain and
whatever follows, when more than that is held without an end.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from portcast.errors import OversizeFrameError, TruncatedFrameError
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import size_text

OnOversize: TypeAlias = Literal["close", "discard"]
"""What a frame larger than the bound costs: the connection, or only itself (its bytes are counted as skipped)."""


class DelimitedDecoder(CuttingDecoder):
    """Cuts at ends that `_find` finds; see the theory at the top of this module."""

    __slots__ = ("_discarded", "_discards", "_limit", "_searched", "_spare")

    def __init__(self, limit: int, spare: int, on_oversize: OnOversize) -> None:
        super().__init__()
        self._limit = limit
        self._spare = spare
        self._discards = on_oversize == "discard"
        self._searched = 0
        self._discarded = 0

    def _find(self, buffer: Buffer, start: int, first: int) -> tuple[int, int] | None:
        """Return where the frame at ``start`` ends and where the next begins, searching from ``first``."""
        raise NotImplementedError

    def _accept(self, buffer: Buffer, start: int, end: int, after: int, frames: list[bytes]) -> None:
        """Append the frame ``buffer[start:end]``, whose end mark reaches to ``after``."""
        frames.append(bytes(buffer[start:end]))

    def _is_dropping(self) -> bool:
        return self._discarded > 0

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        found = self._find(buffer, start, start + self._searched)
        if found is None:
            return self._wait(buffer, start)
        end, after = found
        if self._discarded:
            self.skipped_bytes += end - start
            self._discarded = 0
        elif end - start > self._limit:
            if not self._discards:
                self._refuse(buffer, start)
                return start
            self.skipped_bytes += end - start
        else:
            self._accept(buffer, start, end, after, frames)
        self._searched = 0
        return after

    def _wait(self, buffer: Buffer, start: int) -> int:
        size = len(buffer) - start
        surplus = size - self._spare
        if not self._discarded:
            if surplus <= self._limit:
                self._searched = max(0, surplus)
                return start
            if not self._discards:
                self._refuse(buffer, start)
                return start
        if surplus <= 0:
            return start
        self._searched = 0
        self._discarded += surplus
        self.skipped_bytes += surplus
        return start + surplus

    def _refuse(self, buffer: Buffer, start: int) -> None:
        # The size is that of the shortest beginning that is too long, so it does not depend on how much has arrived.
        head = buffer[start : start + self._limit + 1]
        self._fail(OversizeFrameError, f"{self._expected()} within {size_text(self._limit)}", self._limit + 1, head)

    def _finish(self, frames: list[bytes]) -> None:
        if self._held or self._discarded:
            self.skipped_bytes += len(self._held) if self._discarded else 0
            self._fail(TruncatedFrameError, self._expected(), self._discarded + len(self._held), self._held)

    def _fits(self, whole: bytes, pieces: list[bytes], rest: bytes) -> bool:
        """Return True if none of ``whole``'s frames and not its incomplete rest is too long."""
        limit = self._limit
        return len(whole) <= limit or (
            len(rest) <= limit + self._spare and (not pieces or max(map(len, pieces)) <= limit)
        )

    def _hold(self, rest: bytes) -> None:
        """Hold ``rest``, which is known to hold no end, instead of what was held."""
        self._held[:] = rest
        self._searched = max(0, len(rest) - self._spare)
