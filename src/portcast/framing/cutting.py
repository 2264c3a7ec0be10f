"""The base of the built-in decoders: it holds bytes, a subclass cuts one frame at a time off their front.

Theory
======

::

    bytes held from earlier reads | the new read
    ^ start of an incomplete frame
    |-- cut --|-- cut --|-- cut --|-- rest, held again --|

* ``_held`` begins where a frame (or its start marker) begins, or is empty. After a call it holds no complete frame.
* `_cut` depends only on the bytes from ``start`` on and on what the subclass remembers about them, never on where reads
  ended. This is what makes frames independent of packet boundaries.
* Work is linear in the bytes received. While ``_need`` says that more is missing, a read is appended and nothing else
  happens. A read smaller than what is held is appended in place and the held bytes are cut where they lie; a larger one
  is joined to them in a copy, which costs at most twice the read and makes slices cheap. A subclass that searches
  remembers how far it searched.
* After a fault nothing is held and nothing more is returned.

This file does not know any format, and neither sockets, clock nor logging.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

from portcast.errors import FramingError, TruncatedFrameError
from portcast.framing.base import FrameDecoder

Buffer: TypeAlias = bytes | bytearray


@runtime_checkable
class SingleFrameDecoder(FrameDecoder, Protocol):
    """A decoder that can also stop after one frame, so that the bytes behind it can go to another decoder."""

    @property
    def is_between(self) -> bool:
        """True if no frame is under way: the next byte begins one."""
        ...

    def take(self, data: bytes, start: int, frames: list[bytes]) -> int:
        """Take bytes from ``data[start:]`` up to the end of one frame.

        Args:
            data: a read.
            start: where to begin in it.
            frames: the frame is appended here, if one is complete and not dropped. `is_between` tells whether its end
                was reached.

        Returns:
            The index in ``data`` of the first byte that was not taken.
        """
        ...


class CuttingDecoder:
    """Holds incomplete input and calls `_cut` for each frame; see the theory at the top of this module."""

    __slots__ = ("_held", "_is_lost", "_need", "error", "skipped_bytes")

    error: FramingError | None
    skipped_bytes: int

    def __init__(self) -> None:
        self.error = None
        self.skipped_bytes = 0
        # An empty bytearray has no buffer of its own (56 bytes for the object), so idle decoders stay small.
        self._held = bytearray()
        # `_cut` is not worth calling before this many bytes are held.
        self._need = 0
        # True from the first byte that was skipped to find a start marker until the marker is found.
        self._is_lost = False

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        """Cut one frame, or something to skip, at ``start``; append the frame to ``frames``.

        Returns:
            Where the next frame begins; ``start`` if more bytes are needed or `error` was set.
        """
        raise NotImplementedError

    def _expected(self) -> str:
        """Return what is missing when the stream ends inside a frame, for the error."""
        return "the rest of a frame"

    def _finish(self, frames: list[bytes]) -> None:
        """Handle the held bytes at the end of the stream; they are forgotten afterwards."""
        if self._held or self._is_dropping():
            self._fail(TruncatedFrameError, self._expected(), len(self._held), self._held)

    def _synchronise(self, buffer: Buffer, start: int, marker: bytes) -> int:
        """Skip and count what lies before ``marker``; return where it, or a beginning of it, or the end lies."""
        begin = find_marker(buffer, start, marker)
        if begin != start:
            self.skipped_bytes += begin - start
            self._is_lost = True
        elif len(buffer) - start >= len(marker):
            self._is_lost = False
        return begin

    def _fail(self, kind: type[FramingError], expected: str, size: int, head: Buffer) -> None:
        self.error = kind(expected, size, head)

    @property
    def buffered(self) -> int:
        """Bytes held of an incomplete frame."""
        return len(self._held)

    @property
    def is_between(self) -> bool:
        """True if no frame is under way."""
        return not self._held and not self._is_lost and not self._is_dropping()

    def _is_dropping(self) -> bool:
        """Return True inside a frame whose bytes are dropped as they arrive."""
        return False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the frames that they complete."""
        if self.error is not None:
            return []
        held = self._held
        buffer: Buffer
        if not held:
            buffer = data
        elif len(held) + len(data) < self._need:
            held += data
            return []
        elif len(data) < len(held):
            held += data
            buffer = held
        else:
            buffer = bytes(held) + data
        frames: list[bytes] = []
        self._keep(buffer, self._cut_all(buffer, frames))
        return frames

    def _cut_all(self, buffer: Buffer, frames: list[bytes]) -> int:
        """Cut while there is something to cut; return where the incomplete rest begins."""
        start = 0
        cut = self._cut
        while True:
            after = cut(buffer, start, frames)
            if after == start:
                return start
            start = after

    def _keep(self, buffer: Buffer, start: int) -> None:
        held = self._held
        if self.error is not None or start == len(buffer):
            held.clear()
            self._need = 0
        elif buffer is held:
            del held[:start]
        else:
            held[:] = buffer[start:]

    def take(self, data: bytes, start: int, frames: list[bytes]) -> int:
        """Take one frame from ``data[start:]``; see `SingleFrameDecoder.take`."""
        if self.error is not None:
            return len(data)
        held = self._held
        before = len(held)
        buffer: Buffer = data
        position = start
        if before:
            held += data[start:]
            if len(held) < self._need:
                return len(data)
            buffer, position = held, 0
        while True:
            after = self._cut(buffer, position, frames)
            if after == position:
                self._keep(buffer, position)
                return len(data)
            position = after
            # What follows skipped bytes is this decoder's too, until it finds its marker and a frame.
            if not self._is_lost and not self._is_dropping():
                break
        held.clear()
        self._need = 0
        return start + position - before if before else position

    def end(self) -> list[bytes]:
        """Take the end of the stream."""
        frames: list[bytes] = []
        if self.error is None:
            self._finish(frames)
            self._held.clear()
        return frames


class _ByteByByte:
    """Gives any `FrameDecoder` a `take`, by feeding one byte at a time until a frame appears.

    Correct because a decoder's frames do not depend on how the stream is split; slow, so the built-in ones do it
    themselves.
    """

    __slots__ = ("_decoder", "is_between")

    def __init__(self, decoder: FrameDecoder) -> None:
        self._decoder = decoder
        self.is_between = True

    @property
    def error(self) -> FramingError | None:
        return self._decoder.error

    @property
    def skipped_bytes(self) -> int:
        return self._decoder.skipped_bytes

    @property
    def buffered(self) -> int:
        return self._decoder.buffered

    def feed(self, data: bytes) -> list[bytes]:
        self.is_between = False
        return self._decoder.feed(data)

    def take(self, data: bytes, start: int, frames: list[bytes]) -> int:
        for position in range(start, len(data)):
            self.is_between = False
            found = self._decoder.feed(data[position : position + 1])
            if found:
                frames += found
                self.is_between = True
                return position + 1
            if self._decoder.error is not None:
                break
        return len(data)

    def end(self) -> list[bytes]:
        return self._decoder.end()


def single_frame_decoder(decoder: FrameDecoder) -> SingleFrameDecoder:
    """Return ``decoder`` if it can stop after one frame, else a wrapper that can."""
    return decoder if isinstance(decoder, SingleFrameDecoder) else _ByteByByte(decoder)


def find_marker(buffer: Buffer, start: int, marker: bytes) -> int:
    """Return where ``marker``, or a beginning of it that the buffer's end cuts off, first lies at or after ``start``.

    The buffer's length if there is neither: all of it can be skipped.
    """
    at = buffer.find(marker, start)
    if at >= 0:
        return at
    size = len(buffer)
    for at in range(max(start, size - len(marker) + 1), size):
        if marker.startswith(bytes(buffer[at:])):
            return at
    return size
