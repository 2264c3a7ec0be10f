"""A user's own framing: one method that takes a frame off the front of a buffer."""

from __future__ import annotations

import copy

from portcast.errors import FramingError, OversizeFrameError
from portcast.framing.base import DEFAULT_MAX_FRAME, FrameDecoder
from portcast.framing.cutting import Buffer, CuttingDecoder
from portcast.framing.validation import check_at_least, size_text


class CustomFraming:
    """The base class of a framing in your own code: override `decode`.

    ::

        class Gt06(CustomFraming):
            def decode(self, buffer: bytearray) -> bytes | None:
                size = …                        # from buffer[2], if it is there
                if len(buffer) < size:
                    return None                 # more is needed
                frame = bytes(buffer[:size])
                del buffer[:size]
                return frame

    `decode` is called on a copy of the framing that belongs to one connection (made by `copy.copy`), so what it assigns
    to ``self`` is that connection's state and no other's. Create mutable state (lists, dictionaries) in `start`, since
    a shallow copy would share what ``__init__`` made.

    Attributes:
        max_frame: most bytes that one frame may take off the buffer, and that may be held while `decode` returns None.
            64 KiB. Set it in the class or on the instance.
    """

    max_frame: int = DEFAULT_MAX_FRAME

    def start(self) -> None:
        """Prepare the state of a new connection. Called once, on its own copy, before the first `decode`."""

    def decode(self, buffer: bytearray) -> bytes | None:
        """Take one frame off the front of ``buffer`` and return it; return None to ask for more bytes.

        Removing bytes and returning None skips them: they are counted, and `decode` is called again.

        Args:
            buffer: what has arrived and was not yet taken, at least one byte. Only bytes at its front may be removed,
                and none may be added. A returned frame must have taken at least one byte.

        Raises:
            FramingError: the bytes cannot be a frame; the connection ends. Any other exception is reported as a
                `FramingError` with the reason ``malformed``, with the exception as its ``__cause__``.
        """
        raise NotImplementedError

    def encode(self, frame: bytes) -> bytes:
        """Return the bytes that carry ``frame`` to the device: as it is, unless this is overridden.

        Raises:
            CodecError: for an override to raise, if ``frame`` cannot be carried.
        """
        return frame

    def decoder(self) -> FrameDecoder:
        """Return a fresh decoder for one connection.

        Raises:
            ConfigurationError: ``max_frame`` is below 1.
        """
        check_at_least("max_frame", self.max_frame, 1)
        state = copy.copy(self)
        state.start()
        return _CustomDecoder(state)


class _CustomDecoder(CuttingDecoder):
    """Calls the user's `decode` and checks what it did to the buffer."""

    __slots__ = ("_state",)

    def __init__(self, state: CustomFraming) -> None:
        super().__init__()
        self._state = state

    def _expected(self) -> str:
        return f"the rest of a frame of {type(self._state).__name__}"

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the frames that they complete."""
        frames: list[bytes] = []
        if self.error is None:
            held = self._held
            held += data
            while held and self._cut_held(frames):
                pass
            if self.error is not None:
                held.clear()
        return frames

    def _cut_held(self, frames: list[bytes]) -> bool:
        """Let `decode` take one frame; return True if it took anything and nothing is wrong."""
        held = self._held
        limit = self._state.max_frame
        before = len(held)
        head = bytes(held[:32])
        name = type(self._state).__name__
        try:
            frame = self._state.decode(held)
        except FramingError as error:
            self.error = error
            return False
        except Exception as error:  # noqa: BLE001 - the user's code; one device's bytes must not end the listener
            self._fail(
                FramingError, f"bytes that {name}.decode accepts (it raised {type(error).__name__})", before, head
            )
            assert self.error is not None
            self.error.__cause__ = error
            return False
        taken = before - len(held)
        if taken < 0 or (frame is not None and not taken):
            self._fail(FramingError, f"{name}.decode to take the frame off the buffer", before, head)
        elif (frame is not None and taken > limit) or (not taken and before > limit):
            self._fail(OversizeFrameError, f"a frame of {name} within {size_text(limit)}", limit + 1, head)
        elif frame is not None:
            frames.append(bytes(frame))
            self._is_lost = False
        elif taken:
            self.skipped_bytes += taken
            self._is_lost = True
        return self.error is None and taken > 0

    def _cut(self, buffer: Buffer, start: int, frames: list[bytes]) -> int:
        raise NotImplementedError  # `feed` and `take` work on the held bytes, which `decode` shortens itself

    def take(self, data: bytes, start: int, frames: list[bytes]) -> int:
        """Take one frame from ``data[start:]``."""
        if self.error is None:
            held = self._held
            held += data[start:]
            while held and self._cut_held(frames):
                # What follows skipped bytes is this decoder's too, until there is a frame.
                if not self._is_lost:
                    unused = len(held)
                    held.clear()
                    return len(data) - unused
            if self.error is not None:
                held.clear()
        return len(data)
