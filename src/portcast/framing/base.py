"""The two interfaces of framing: a `Framing` (what the user configures) makes one `FrameDecoder` per connection."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from portcast.errors import FramingError

DEFAULT_MAX_FRAME = 65_536
"""64 KiB: as Centrifugo's and uvicorn's usual message limits; larger than any tracker's or scale's frame."""


class FrameDecoder(Protocol):
    """Cuts one connection's byte stream into frames. Pure: no clock, no socket, no logging.

    The same bytes give the same frames and the same error however they are split over calls.
    """

    @property
    def error(self) -> FramingError | None:
        """The error that ended this stream, or None. Once set, `feed` and `end` return no more frames.

        It is an attribute and not an exception so that the good frames before the fault, in the same read, are
        still delivered.
        """
        ...

    @property
    def skipped_bytes(self) -> int:
        """Bytes thrown away so far while looking for the start of a frame or discarding an oversize one."""
        ...

    @property
    def buffered(self) -> int:
        """Bytes held of a frame that is not complete yet; at most ``max_frame`` plus the framing's own overhead."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the frames that they complete, oldest first."""
        ...

    def end(self) -> list[bytes]:
        """Take the end of the stream; return what only its end completes.

        Afterwards `error` is a `TruncatedFrameError` if the stream was cut inside a frame.
        """
        ...


@runtime_checkable
class Framing(Protocol):
    """How frames lie in a byte stream. Frozen, shared by all connections of a listener."""

    @property
    def max_frame(self) -> int:
        """Largest whole frame accepted, in bytes."""
        ...

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection."""
        ...

    def encode(self, frame: bytes) -> bytes:
        """Return the bytes that carry ``frame`` to the device.

        Raises:
            CodecError: ``frame`` cannot be carried (it contains the delimiter, has the wrong size, …).
        """
        ...
