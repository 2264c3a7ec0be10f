"""What takes the frames of a connection: the interface between `Connection` and a relay or an inbox."""

from __future__ import annotations

from typing import Protocol


class Consumer(Protocol):
    """Takes one connection's frames. Called on the loop; must not block or raise."""

    def frames_received(self, frames: list[bytes]) -> bool:
        """Take frames, at least one. Return True to stop reading until `Connection.resume_reading` is called."""
        ...

    def ended(self) -> None:
        """Take note that no more frames will come; call `Connection.consumer_done` once all are handled."""
        ...

    def discard(self) -> int:
        """Drop the frames that wait; return how many. What is being handled goes on."""
        ...

    def abort(self) -> int:
        """Drop the frames that wait and stop what is being handled; return how many were lost.

        `Connection.consumer_done` is called once it has stopped, which a handler may delay.
        """
        ...

    def abandon(self) -> None:
        """Report that it did not stop although `abort` was called some time ago."""
        ...

    @property
    def is_busy(self) -> bool:
        """True while a received frame has not been handled."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the frames that wait, for whoever asks where memory is."""
        ...

    def rest(self, silent_s: float) -> None:
        """Let go of what only a busy connection needs; the device is silent for so long. May be called often."""
        ...

    async def receive(self) -> bytes:
        """Return the next frame of a per-connection handler.

        Raises:
            ConnectionClosedError: no more will come.
        """
        ...
