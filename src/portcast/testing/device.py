"""A device without a socket: what it sends takes the real way through framing, codec, dependencies and handler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import count
from types import TracebackType

from portcast.errors import ConnectionClosedError
from portcast.events import (
    CloseReason,
    ConnectionClosed,
    ConnectionOpened,
    Event,
    FrameRejected,
    HandlerAbandoned,
    HandlerFailed,
)
from portcast.gateway import Gateway
from portcast.runtime import Connection, Listener
from portcast.testing.lifespan import STOP_S, App, joined, running_gateway
from portcast.testing.listeners import find_listener
from portcast.testing.splits import Split, pieces
from portcast.testing.transport import MemoryTransport
from portcast.testing.waiting import TIMEOUT_S, Changes, eventually, settle

_OF_CONNECTIONS = (ConnectionOpened, ConnectionClosed, FrameRejected, HandlerFailed, HandlerAbandoned)
_ports = count(50_000)


class TestDevice:
    r"""A device whose connection lives in memory.

    ```python
    async with TestDevice(app) as device:
        await device.send(b"21.5\n")
        await device.expect(b"OK\n")
    ```

    Entering it connects, and starts the app without sockets if it does not run (see `portcast.testing.in_memory`).
    Leaving it ends the device's side in order and waits, at most a second, until the app has handled what was sent.

    Everything behind the socket is the app's own: framing, codec, dependencies, handler, publishing, backpressure and
    deadlines. What is not there: TLS, the kernel's buffers, the accept loop, and socket options.
    """

    __test__ = False  # pytest takes classes named Test… for tests

    def __init__(
        self,
        app: App,
        *,
        listener: str | int | None = None,
        split: Split = "whole",
        peer: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Prepare a device; nothing is connected yet.

        Args:
            app: a `Gateway`, or an ASGI app that includes one. An app that was started by something else than this
                kit is found by its gateway alone.
            listener: the name or the declared address (``"8001"``, ``"tcp://127.0.0.1:8001"``) of a listener, or its
                place in the order of declaration, from 0. None where there is only one.
            split: how to cut what is sent, unless `send` says otherwise.
            peer: the device's address as the app sees it; ``192.0.2.1`` (RFC 5737) and a port if empty.
            timeout_s: real seconds to wait for what should come at once.
        """
        self._app = app
        self._wanted = listener
        self._split = split
        self._peer = peer or f"192.0.2.1:{next(_ports)}"
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()
        self._changes = Changes()
        self._events: list[Event] = []
        # Both exist from `connect` on.
        self._connection: Connection | None = None
        self._transport: MemoryTransport | None = None
        self._listener: Listener | None = None
        self._gateway: Gateway | None = None
        self._unwatch: Callable[[], None] = lambda: None

    # Connecting

    async def __aenter__(self) -> TestDevice:
        gateway = await self._stack.enter_async_context(joined(self._app))
        try:
            self._connect(gateway)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._transport is not None and self.closed is None:
                self._transport.leave()
                if not await self._changes.until(lambda: self.closed, STOP_S):
                    self._transport.break_off()
        finally:
            await self._stack.__aexit__(kind, error, traceback)

    def _connect(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._listener = find_listener(gateway, self._wanted)
        transport = MemoryTransport(self._peer, self._changes.tell)
        self._unwatch = gateway.watch(self._on_event)
        try:
            self._connection = self._listener.adopt(transport, self._peer)
        except BaseException:
            self._unwatch()
            raise
        transport.set_protocol(self._connection)
        self._transport = transport

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, _OF_CONNECTIONS):
            return
        # While it connects there is no id yet, and nobody else's event.
        if self._connection is None or event.connection_id == self._connection.id:
            self._events.append(event)
            if isinstance(event, ConnectionClosed):
                self._unwatch()
            self._changes.tell()

    def _line(self) -> MemoryTransport:
        """Return the transport; connect first, if the app runs already."""
        if self._transport is None:
            gateway = running_gateway(self._app)
            if gateway is None:
                raise RuntimeError("the app does not run: write `async with TestDevice(app) as device`")
            self._connect(gateway)
        assert self._transport is not None, "just made"
        return self._transport

    @property
    def connection(self) -> Connection:
        """The app's end: its id, its ``state``, its counters.

        Raises:
            RuntimeError: the device has not connected yet.
        """
        if self._connection is None:
            raise RuntimeError("the device has not connected yet")
        return self._connection

    # Sending

    async def send(self, data: bytes | Sequence[bytes], *, split: Split | None = None) -> None:
        """Send bytes as they are, and wait until the app has read them: framed and handed on, not yet handled.

        Waits while the app does not read (a full inbox, a held topic), as a device would once the network's buffers
        are full. Cancelling leaves the rest on its way. What the app no longer reads because the connection ends is
        lost in silence.

        Args:
            data: bytes, or the pieces themselves: each is one read.
            split: how to cut them; the device's own way if None.

        Raises:
            ConnectionClosedError: the connection has ended.
            AssertionError: the app did not read them in time.
        """
        self.send_nowait(data, split=split)
        line = self._line()
        if not await self._changes.until(lambda: line.is_read, self._timeout_s):
            raise AssertionError(f"the app did not read what was sent within {self._timeout_s} s{self._told()}")

    def send_nowait(self, data: bytes | Sequence[bytes], *, split: Split | None = None) -> None:
        """Send without waiting: the app reads it in the next turns of the loop, or when it reads again.

        Args:
            data: as for `send`.
            split: as for `send`.

        Raises:
            ConnectionClosedError: the connection has ended.
        """
        line = self._line()
        if line.is_closing() or line.is_lost:
            raise ConnectionClosedError(self.connection.id, self._reason())
        way = self._split if split is None else split
        # A bytearray is a sequence, too, and type checkers let it pass for bytes.
        for piece in pieces(bytes(data), way) if isinstance(data, bytes | bytearray | memoryview) else data:
            line.deliver(piece)

    async def send_frame(self, frame: bytes) -> None:
        """Send one frame, encoded by the listener's framing; otherwise as `send`.

        Raises:
            CodecError: the framing cannot carry the frame.
            ConnectionClosedError: the connection has ended.
        """
        self._line()
        await self.send(self._framed(frame))

    def _framed(self, frame: bytes) -> bytes:
        assert self._listener is not None, "it has connected"
        return self._listener.framing.encode(frame)

    @property
    def is_read(self) -> bool:
        """False while something that was sent waits for the app to read."""
        return self._line().is_read

    async def handled(self) -> None:
        """Wait until the app has read and handled everything that was sent.

        Raises:
            AssertionError: that took too long.
        """
        line = self._line()
        if not await eventually(lambda: line.is_read and not self.connection.is_busy, self._timeout_s):
            raise AssertionError(f"a frame was not handled within {self._timeout_s} s{self._told()}")

    # Receiving

    async def receive(self) -> bytes:
        """Return what the app has sent and was not taken yet, at least one byte; ``b""`` once it has ended.

        Raises:
            AssertionError: nothing came in time.
        """
        line = self._line()
        if not await self._changes.until(lambda: line.received or line.is_lost, self._timeout_s):
            raise AssertionError(f"the app sent nothing within {self._timeout_s} s{self._told()}")
        return self._take(len(line.received))

    async def expect(self, data: bytes) -> None:
        """Wait for exactly these bytes, whatever pieces they come in, and take them. What follows them stays.

        Raises:
            AssertionError: other bytes came, the connection ended, or they did not come in time.
        """
        line = self._line()

        def is_decided() -> bool:
            got = bytes(line.received[: len(data)])
            return got == data or not data.startswith(got) or line.is_lost

        await self._changes.until(is_decided, self._timeout_s)
        got = bytes(line.received[: len(data)])
        if got != data:
            what = "the app sent nothing" if not got else f"the app sent {bytes(line.received[: len(data) + 40])!r}"
            raise AssertionError(f"expected {data!r}, {what}{self._told()}")
        self._take(len(data))

    async def expect_frame(self, frame: bytes) -> None:
        """Wait for exactly this frame, encoded by the listener's framing; otherwise as `expect`."""
        self._line()
        await self.expect(self._framed(frame))

    async def nothing(self) -> None:
        """Let the app handle what it has, and check that it has sent nothing that was not taken.

        Waits for handlers, at most a quarter of a second: one that sleeps may still send later.

        Raises:
            AssertionError: it has sent something.
        """
        line = self._line()
        assert self._gateway is not None, "it has connected"
        await settle(self._gateway.node)
        if line.received:
            raise AssertionError(f"expected nothing, the app sent {bytes(line.received[:80])!r}")

    def _take(self, size: int) -> bytes:
        line = self._line()
        taken = bytes(line.received[:size])
        del line.received[:size]
        return taken

    def stop_reading(self) -> None:
        """Take nothing more from the app: what it sends waits, and above its ``write_buffer`` so does the app."""
        self._line().stop_reading()

    def read_again(self) -> None:
        """Take what waits, and what comes."""
        self._line().read_again()

    # Ending

    async def close(self) -> CloseReason:
        """End the device's side in order and wait until the app has handled everything; return why it closed.

        The app reads the end after what was sent. What it still answers goes nowhere. Does nothing the second time.

        Raises:
            AssertionError: the app did not let go of the connection in time.
        """
        self._line().leave()
        return await self.wait_closed()

    def end(self) -> None:
        """Half-close: no more will be sent, but what the app answers is still received."""
        self._line().deliver(None)

    async def reset(self) -> CloseReason:
        """Break the connection without ceremony and wait until the app has noticed; return why it closed.

        What the app has not read yet is lost.

        Raises:
            AssertionError: the app did not let go of the connection in time.
        """
        self._line().break_off()
        return await self.wait_closed()

    async def wait_closed(self) -> CloseReason:
        """Wait until the connection has ended and its last frame is handled; return why.

        Raises:
            AssertionError: it has not ended in time.
        """
        self._line()
        if not await self._changes.until(lambda: self.closed, self._timeout_s):
            raise AssertionError(f"the connection did not end within {self._timeout_s} s{self._told()}")
        assert self.closed is not None, "waited for"
        return self.closed.reason

    # What became of it

    @property
    def closed(self) -> ConnectionClosed | None:
        """How it ended, with counters; None while it has not, or while its last frames are being handled."""
        return next((event for event in self._events if isinstance(event, ConnectionClosed)), None)

    @property
    def closed_reason(self) -> CloseReason | None:
        """Why it ended; None while it has not, or while its last frames are being handled."""
        return None if self.closed is None else self.closed.reason

    @property
    def failures(self) -> list[BaseException]:
        """What the app's handler, or a dependency, has raised for this device, oldest first."""
        return [event.error for event in self._events if isinstance(event, HandlerFailed)]

    @property
    def rejections(self) -> list[str]:
        """Why the codec has refused frames of this device, oldest first."""
        return [event.detail for event in self._events if isinstance(event, FrameRejected)]

    def _reason(self) -> str:
        return self.closed_reason or "closed"

    def _told(self) -> str:
        """Say what is known of the connection, for the end of a sentence that tells of a failure."""
        parts = [f"the codec refused a frame: {one}" for one in self.rejections[-1:]]
        parts += [f"the handler raised {type(one).__name__}: {one}" for one in self.failures[-1:]]
        if self.closed is not None:
            parts.append(f"the connection ended: {self.closed.reason} {self.closed.detail}".rstrip())
        elif self._connection is not None and self._connection.is_busy:
            parts.append("its handler is busy")
        return "".join(f"; {part}" for part in parts)
