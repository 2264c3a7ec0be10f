"""The network between a test's device and the app, in memory: an asyncio transport and its far end.

Towards the app: pieces wait in order and are read one per turn of the loop, each as a read of its own, while the app
reads. So an app that stops reading (a full inbox, a held topic) leaves them here, as TCP would.

Towards the device: what the app writes is with the device at once, unless the device does not read. Then it waits, and
above the app's mark the app is told to pause, as the kernel's buffers would cause some megabytes later.

Ends. The app closes: what waits for the device goes first. The device ends its side: the app reads the end after all
pieces. Either side breaks off: what waits is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

HIGH_BYTES = 65_536
"""Bytes waiting for the device above which the app is told to pause; asyncio's default. The listener sets its own."""


class MemoryTransport(asyncio.Transport):
    """See the theory on top of the module.

    Attributes:
        received: what the device has and the test has not taken yet.
        is_lost: True once the connection is gone and everything that reached the device is in ``received``.
    """

    def __init__(self, peer: str, tell: Callable[[], None]) -> None:
        """Prepare, on the running loop.

        Args:
            peer: the device's address.
            tell: called after every change.
        """
        super().__init__({"peername": peer})
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._protocol: asyncio.Protocol = asyncio.Protocol()
        # Towards the app; None is the end of the device's side.
        self._incoming: deque[bytes | None] = deque()
        self._is_reading = True
        self._pump_handle: asyncio.Handle | None = None
        # Towards the device.
        self.received = bytearray()
        self._waiting = bytearray()
        self._device_reads = True
        self._device_is_gone = False
        self._high = HIGH_BYTES
        self._has_paused_app = False
        # The end.
        self._is_closing = False
        self.is_lost = False

    # What the device does

    def deliver(self, data: bytes | None) -> None:
        """Send a piece towards the app; None for the end of the device's side."""
        if not self._is_closing:
            self._incoming.append(data)
            self._pump_soon()

    @property
    def is_read(self) -> bool:
        """True once the app has read everything that was sent, or will read no more."""
        return not self._incoming or self._is_closing

    def stop_reading(self) -> None:
        """Let what the app writes wait."""
        self._device_reads = False

    def read_again(self) -> None:
        """Take what waits, and what comes."""
        self._device_reads = True
        self.received += self._waiting
        self._waiting.clear()
        self._drained()

    def leave(self) -> None:
        """End the device's side; what the app still writes goes nowhere."""
        self._device_is_gone = True
        self.deliver(None)
        self._device_reads = True
        self._waiting.clear()
        self._drained()

    def break_off(self) -> None:
        """Break the connection: the app sees a reset, what waits in either direction is lost."""
        self._end(ConnectionResetError("the device broke the connection"))

    # What the app's side does

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport.set_protocol`."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.BaseTransport.get_protocol`."""
        return self._protocol

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """See `asyncio.WriteTransport.write`."""
        if self._is_closing or self._device_is_gone:
            return
        if self._device_reads:
            self.received += data
            self._tell()
            return
        self._waiting += data
        if len(self._waiting) > self._high and not self._has_paused_app:
            self._has_paused_app = True
            self._protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.WriteTransport.set_write_buffer_limits`; the lower mark is always nothing."""
        self._high = HIGH_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport.get_write_buffer_size`."""
        return len(self._waiting)

    def can_write_eof(self) -> bool:
        """See `asyncio.WriteTransport.can_write_eof`."""
        return False

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport.pause_reading`."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport.resume_reading`."""
        self._is_reading = True
        self._pump_soon()

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport.is_reading`."""
        return self._is_reading

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport.is_closing`."""
        return self._is_closing

    def close(self) -> None:
        """See `asyncio.BaseTransport.close`."""
        if not self._is_closing:
            self._is_closing = True
            self._incoming.clear()
            if not self._waiting:
                self._loop.call_soon(self._lose, None)
            self._tell()

    def abort(self) -> None:
        """See `asyncio.WriteTransport.abort`."""
        self._end(None)

    # In between

    def _drained(self) -> None:
        if self._has_paused_app and not self.is_lost:
            self._has_paused_app = False
            self._protocol.resume_writing()
        if self._is_closing:
            self._loop.call_soon(self._lose, None)
        self._tell()

    def _pump_soon(self) -> None:
        if self._pump_handle is None and self._incoming and self._is_reading:
            self._pump_handle = self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_handle = None
        if self._is_reading and self._incoming and not self._is_closing:
            piece = self._incoming.popleft()
            if piece is not None:
                self._protocol.data_received(piece)
            elif not self._protocol.eof_received():
                self.close()
            self._pump_soon()
            self._tell()

    def _end(self, error: Exception | None) -> None:
        self._is_closing = True
        self._incoming.clear()
        self._waiting.clear()
        self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        if not self.is_lost:
            self.is_lost = True
            self._protocol.connection_lost(error)
            self._tell()
