"""The way out of a connection: frames to the transport, and waiting while the device does not take them.

More than ``write_buffer`` bytes in the transport make it *held*: `Output.send` waits then, `Output.send_nowait`
refuses. Everything else about the connection's life is in `portcast.runtime.connection`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from portcast.errors import ConnectionClosedError
from portcast.runtime.connection_endpoint import Endpoint

if TYPE_CHECKING:
    from portcast.events import CloseReason
    from portcast.runtime.tap import Tap


class Output(Endpoint, asyncio.Protocol):
    """The half of `portcast.runtime.connection.Connection` that writes."""

    __slots__ = ("_drain_waiters", "_tap", "_transport", "_waits_for_device_since", "bytes_sent")

    # What the other half has.
    _transport: asyncio.Transport
    _close_reason: CloseReason | None
    _consumer_is_done: bool

    def _begin_output(self) -> None:
        self.bytes_sent = 0
        # Only while it is recorded.
        self._tap: Tap | None = None
        # Since when the transport is over its mark, or waits to close: only the device can help it on.
        self._waits_for_device_since: float | None = None
        self._drain_waiters: list[asyncio.Future[None]] | None = None

    @property
    def is_open(self) -> bool:
        """True while frames can be sent."""
        raise NotImplementedError

    def send_nowait(self, frame: bytes) -> bool:
        """Send one frame, encoded by the listener's framing, if the device keeps up.

        Returns:
            False if more than ``write_buffer`` bytes wait already; nothing was sent then.

        Raises:
            CodecError: the framing cannot carry the frame.
            ConnectionClosedError: the connection has ended.
        """
        if self._waits_for_device_since is not None and self.is_open:
            return False
        self.push(frame)
        return True

    def push(self, frame: bytes) -> None:
        """Send one frame, whatever waits already; for callers that bound otherwise how much that can be.

        Raises:
            CodecError: the framing cannot carry the frame.
            ConnectionClosedError: the connection has ended.
        """
        if not self.is_open:
            raise ConnectionClosedError(self.id, self._close_reason or "closed")
        data = self._listener.framing.encode(frame)
        self.bytes_sent += len(data)
        self._transport.write(data)
        if self._tap is not None:
            self._tap.sent(frame)

    async def wait_writable(self) -> None:
        """Wait while more than ``write_buffer`` bytes wait for the device, or until the connection has ended."""
        while self._waits_for_device_since is not None and self.is_open:
            await self._wait_drained()

    async def send(self, frame: bytes) -> None:
        """Send one frame, waiting first while the device does not keep up.

        Cancelling while it waits leaves nothing sent. A device that does not take what waits for it within
        ``write_timeout`` is aborted.

        Raises:
            CodecError: the framing cannot carry the frame.
            ConnectionClosedError: the connection has ended, or ended while waiting.
        """
        while not self.send_nowait(frame):
            await self._wait_drained()

    async def _wait_drained(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(future)
        await future

    @property
    def unsent_bytes(self) -> int:
        """Bytes that were sent and that the kernel has not taken yet."""
        return 0 if self._transport.is_closing() else self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol.pause_writing`."""
        self._waits_for_device_since = self._listener.now()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol.resume_writing`."""
        # What is left may still keep it from closing, but the device has just shown that it reads.
        self._waits_for_device_since = self._listener.now() if self._consumer_is_done else None
        self._wake_senders()

    def _wake_senders(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, None
        for future in waiters or ():
            if not future.done():
                future.set_result(None)


def is_ordinary_reset(error: Exception) -> bool:
    """Return True if a connection's socket ended as sockets of devices do every day."""
    return isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError))
