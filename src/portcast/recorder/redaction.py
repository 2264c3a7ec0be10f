"""What is taken out of frames before they are recorded: passwords, positions, patients.

Declared by byte ranges, ``[in:|out:]START:STOP`` as in a Python slice: ``in:4:12`` covers the bytes 4 to 11 of each
frame that comes in, ``-2:`` the last two of every frame, ``:`` everything. Covered bytes become ``*``, so that offsets
stay what they are. A function of the application's own can do what ranges cannot.

Nothing gets through by accident: bytes that the framing refused begin nobody knows where, so ranges mean nothing in
them and all of them are taken out; and a function that fails takes out the whole frame.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

FrameKind = Literal["in", "out", "refused"]
"""A frame that came in, one that went out, or bytes in which the framing found no frame."""

RedactFunction = Callable[[bytes, str, str], bytes | None]
"""Returns what may be recorded of a frame, from the frame, its `FrameKind` and the name of its listener; None records
its size alone. Called on the loop for every frame that is recorded, so it must be quick."""

_RANGE = re.compile(r"(?:(in|out):)?(-?[0-9]{1,9})?:(-?[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of a frame that are not recorded.

    Attributes:
        start: the first, as in a slice: counted from the end if negative; None for the beginning.
        stop: the first that is recorded again, as in a slice; None for the end.
        direction: of the frames that are meant; None for both.
    """

    start: int | None
    stop: int | None
    direction: Literal["in", "out"] | None = None


def parse_range(text: str) -> ByteRange:
    """Return the range in ``[in:|out:]START:STOP``.

    Raises:
        ValueError: it is none; the message is for users.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is no range of bytes: write START:STOP, in:START:STOP or out:START:STOP")
    direction, start, stop = match.groups()
    return ByteRange(
        int(start) if start else None,
        int(stop) if stop else None,
        "in" if direction == "in" else "out" if direction == "out" else None,
    )


class Redaction:
    """What is taken out of the frames of one listener."""

    __slots__ = ("_function", "_listener", "_ranges")

    def __init__(self, listener: str, ranges: Sequence[ByteRange] = (), function: RedactFunction | None = None) -> None:
        self._listener = listener
        self._ranges = tuple(ranges)
        self._function = function

    def __bool__(self) -> bool:
        """True if anything is ever taken out."""
        return bool(self._ranges) or self._function is not None

    def apply(self, data: bytes, kind: FrameKind) -> bytes:
        """Return what may be recorded of a frame; nothing of it if it is to be taken out as a whole.

        Raises:
            Exception: what the function raised; record nothing of the frame then.
        """
        if self._ranges:
            data = b"" if kind == "refused" else self._without_ranges(data, kind)
        if self._function is not None and data:
            left = self._function(data, kind, self._listener)
            data = b"" if left is None else bytes(left)
        return data

    def _without_ranges(self, data: bytes, kind: FrameKind) -> bytes:
        covered = bytearray(data)
        for one in self._ranges:
            if one.direction in (None, kind):
                start, stop, _ = slice(one.start, one.stop).indices(len(data))
                if start < stop:
                    covered[start:stop] = b"*" * (stop - start)
        return bytes(covered)
