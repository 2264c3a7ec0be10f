"""What the tests of the runtime share: a device with a real socket, a listener with its surroundings, and fakes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from portcast.address import Address
from portcast.brokers import MemoryBroker
from portcast.config import ListenerOptions, TlsOptions, TopicOptions
from portcast.delivery import Batch, Encoding, OutboxLimits, SinkOwner, joined
from portcast.errors import ConnectionClosedError
from portcast.events import ConnectionClosed, Event, HandlerFailed
from portcast.framing import Framing, LineFraming
from portcast.history import HistoryLimits
from portcast.publication import Run
from portcast.runtime import Connection, Consumer, Hub, InboxConsumer, Listener, Registry, RelayConsumer, Subscriber
from portcast.runtime.clock import Clock
from portcast.topic_table import TopicTable

E = TypeVar("E")

DEADLINE_S = 10.0
"""For a condition that should come true at once; only a failing test waits so long."""


async def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until the condition is true, letting the loop work."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline, what or "it never became true"
        await asyncio.sleep(0.001)


async def turns(number: int = 5) -> None:
    """Let the loop turn, to show that something does *not* happen."""
    for _ in range(number):
        await asyncio.sleep(0)


class Events:
    """Receives events and keeps them."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.all.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """Return those of one kind, oldest first."""
        return [event for event in self.all if isinstance(event, kind)]

    @property
    def closed(self) -> ConnectionClosed:
        """The one connection that closed."""
        (event,) = self.of(ConnectionClosed)
        return event


class Device:
    """The other end of a connection, with nothing between the test and the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(cls, address: Address, *, receive_buffer: int = 0) -> Device:
        """Connect to a listener."""
        is_unix = address.scheme == "unix"
        family = socket.AF_UNIX if is_unix else socket.AF_INET6 if ":" in address.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        where: Any = address.path if is_unix else (address.host, address.port)
        try:
            await asyncio.get_running_loop().sock_connect(sock, where)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._loop.sock_sendall(self.sock, data)

    async def receive(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        data = bytearray()
        while len(data) < size:
            chunk = await self._receive(min(65_536, size - len(data)))
            assert chunk, f"the connection ended after {len(data)} bytes"
            data += chunk
        return bytes(data)

    async def receive_all(self) -> bytes:
        """Return everything up to the end of the stream; a reset is an end, too."""
        data = bytearray()
        try:
            while chunk := await self._receive(65_536):
                data += chunk
        except ConnectionResetError:
            pass
        return bytes(data)

    async def _receive(self, most: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._loop.sock_recv(self.sock, most)

    def end(self) -> None:
        """Half-close: no more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection without ceremony."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


@dataclass
class Recorder:
    """A consumer that keeps frames, and is done when told, or at once if it is not lazy."""

    connection: Connection
    is_lazy: bool = False
    pauses: bool = False
    frames: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    is_busy: bool = False

    def frames_received(self, frames: list[bytes]) -> bool:
        self.frames += frames
        return self.pauses

    def ended(self) -> None:
        self.calls.append("ended")
        if not self.is_lazy:
            self.connection.consumer_done()

    def discard(self) -> int:
        self.calls.append("discard")
        return 3

    def abort(self) -> int:
        self.calls.append("abort")
        self.connection.consumer_done()
        return 2

    def abandon(self) -> None:
        self.calls.append("abandon")

    @property
    def waiting_bytes(self) -> int:
        return 0

    def rest(self, silent_s: float) -> None:
        self.calls.append("rest")

    async def receive(self) -> bytes:
        if not self.frames:
            raise ConnectionClosedError(self.connection.id, "no more frames")
        return self.frames.pop(0)


Work = Callable[[bytes, Connection], Awaitable[object]]


class FakeHandler:
    """A handler made of plain functions; keeps what was done, in order."""

    def __init__(
        self,
        work: Work | None = None,
        *,
        run: Callable[[Connection], Awaitable[object]] | None = None,
        on_open: Callable[[Connection], Awaitable[object]] | None = None,
        on_close: Callable[[], Awaitable[object]] | None = None,
        decode: Callable[[bytes], bytes] = lambda frame: frame,
    ) -> None:
        self.name = "on_reading"
        self.is_per_connection = run is not None
        self.has_idle_hook = False
        self.told: list[object] = []
        self.needs_open = on_open is not None
        self.frames: list[bytes] = []
        self.closed_with: list[BaseException | None] = []
        self.decode = decode
        self._work = work
        self._run = run
        self._on_open = on_open
        self._on_close = on_close

    def session(self, connection: Connection) -> FakeSession:
        return FakeSession(self, connection)


class FakeSession:
    """See `FakeHandler`."""

    def __init__(self, handler: FakeHandler, connection: Connection) -> None:
        self._handler = handler
        self._connection = connection

    async def failed(self, error: Exception) -> None:
        self._handler.told.append(error)

    async def idle(self) -> None:
        self._handler.told.append("idle")

    async def open(self) -> None:
        if self._handler._on_open is not None:
            await self._handler._on_open(self._connection)

    async def run(self) -> None:
        assert self._handler._run is not None
        await self._handler._run(self._connection)

    def decode(self, frame: bytes) -> bytes:
        return self._handler.decode(frame)

    async def handle(self, message: object) -> None:
        assert isinstance(message, bytes)
        self._handler.frames.append(message)
        if self._handler._work is not None:
            await self._handler._work(message, self._connection)

    async def close(self, error: BaseException | None) -> None:
        self._handler.closed_with.append(error)
        if self._handler._on_close is not None:
            await self._handler._on_close()


class FakeEncoding:
    """One item per publication, its payload; keeps what it was asked. ``tells_gaps`` as ``("gap", missed)``."""

    def __init__(self, *, tells_gaps: bool = True) -> None:
        self.encoded: list[Run] = []
        self.joins = 0
        self._tells_gaps = tells_gaps

    @property
    def calls(self) -> int:
        """How many runs it was asked to encode."""
        return len(self.encoded)

    def encode(self, run: Run) -> Batch:
        self.encoded.append(run)
        return Batch(list(run.payloads), len(run.payloads), sum(map(len, run.payloads)))

    def join(self, batches: Sequence[Batch]) -> Batch:
        self.joins += 1
        return joined(batches)

    def gap(self, missed: int, is_exact: bool) -> Batch | None:
        assert missed > 0
        assert is_exact
        return Batch([("gap", missed)], 0, 0) if self._tells_gaps else None


class FakeSink:
    """Takes batches and finishes them when told, at the end of each tick with ``clock``, or at once if ``is_open``."""

    def __init__(self, clock: Clock | None = None, *, is_open: bool = False) -> None:
        self.batches: list[Batch] = []
        self.closed: list[tuple[int, str]] = []
        self.aborted = 0
        self.answers: list[object] = []
        self.buffered = 0
        self.is_open = is_open
        self.is_busy = False
        self._clock = clock
        self._owner: SinkOwner | None = None

    def bind(self, owner: SinkOwner) -> None:
        self._owner = owner

    def write(self, batch: Batch) -> bool:
        assert not self.is_busy, "it has not said that it takes more"
        self.batches.append(batch)
        self.is_busy = not self.is_open
        if self.is_busy and self._clock is not None:
            self._clock.call_soon(self.finish)
        return self.is_open

    def write_now(self, items: Sequence[object]) -> bool:
        self.answers += items
        return not self.is_busy

    def wrote(self, count: int, size: int) -> None:
        assert self._owner is not None
        self._owner.on_written(count, size)

    def finish(self) -> None:
        assert self._owner is not None
        self.is_busy = False
        self._owner.on_drained()

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def abort(self) -> None:
        self.aborted += 1

    @property
    def messages(self) -> list[object]:
        """Everything that was written, one by one."""
        return [item for batch in self.batches for item in batch.items]


LIMITS = OutboxLimits(
    soft_bytes=100, soft_messages=10, soft_for_s=2.0, hard_bytes=1000, hard_messages=20, hard_age_s=10.0
)
"""Small enough to be passed by hand."""


def make_broker(**limits: Any) -> MemoryBroker:
    """Return a broker with little history: the store's first epoch is e1, the node's e2; topics forgotten make more."""
    numbers = count(1)
    return MemoryBroker(HistoryLimits(**limits), lambda: f"e{next(numbers)}")


def make_hub(clock: Clock, events: Events | None = None, **changes: Any) -> Hub:
    """Return a hub with small limits and no history that never rests between flushes, unless changed.

    ``default``, ``topics`` (options by filter) and ``has_history`` make the table of topics.
    """
    table = TopicTable(
        changes.pop("topics", {}),
        default=changes.pop("default", TopicOptions(patience_s=0.5)),
        history=HistoryLimits() if changes.pop("has_history", False) else HistoryLimits(publications=0),
    )
    options: dict[str, Any] = {
        "limits": LIMITS,
        "flush_duty": 1.0,
        "topics": table,
        "broker": make_broker(publications=0),
        "budget_bytes": 10**9,
        "emit": events if events is not None else Events(),
    }
    return Hub(clock, **(options | changes))


def subscribe(hub: Hub, sink: FakeSink, *filters: str, encoding: Encoding | None = None, peer: str = "") -> Subscriber:
    """Subscribe a fake sink."""
    encoding = encoding or FakeEncoding()
    return hub.subscribe(filters or ("#",), encoding, sink, transport="test", peer=peer, bind=sink.bind)


class Publisher:
    """Publishes through a broker, and keeps the runs that it gave to the hub."""

    def __init__(self, hub: Hub, broker: MemoryBroker | None = None) -> None:
        self._hub = hub
        self.broker = broker or make_broker(publications=0)
        self.broker.bind(self._deliver)
        self.runs: list[Run] = []

    def _deliver(self, run: Run) -> None:
        self.runs.append(run)
        self._hub.deliver(run)

    def __call__(self, topic: str, *payloads: bytes) -> None:
        self.publish(topic, payloads)

    def publish(self, topic: str, payloads: Sequence[bytes]) -> None:
        self.broker.publish_nowait(topic, payloads, self._hub.now())


class Serving:
    """A listener at work, and everything around it."""

    def __init__(self, listener: Listener, registry: Registry, events: Events, faults: list[dict[str, Any]]) -> None:
        self.listener = listener
        self.registry = registry
        self.events = events
        self.faults = faults
        self.devices: list[Device] = []

    @property
    def address(self) -> Address:
        return self.listener.address

    async def connect(self, **options: int) -> Device:
        """Connect a device; it is closed at the end of the test."""
        device = await Device.connect(self.address, **options)
        self.devices.append(device)
        return device

    async def connected(self, **options: int) -> tuple[Device, Connection]:
        """Connect a device and return both ends."""
        known = {connection.id for connection in self.registry}
        device = await self.connect(**options)
        await eventually(lambda: any(c.id not in known for c in self.registry), "it was not accepted")
        (connection,) = (c for c in self.registry if c.id not in known)
        return device, connection

    @property
    def is_empty(self) -> bool:
        """True when no connection is known and no socket counted."""
        return not len(self.registry) and not self.registry.sockets

    async def until_done(self) -> None:
        """Wait until every device was accepted, and no connection is known any more."""
        await eventually(
            lambda: self.is_empty and self.listener.statistics().accepted >= len(self.devices), "connections are left"
        )


MakeConsumer = Callable[[Connection, Registry, Events], Consumer]


def recording(*, is_lazy: bool = False, pauses: bool = False) -> MakeConsumer:
    """Make a `Recorder` for each connection."""
    return lambda connection, registry, events: Recorder(connection, is_lazy, pauses)


def handling(handler: FakeHandler, *, limit: int = 64, max_bad_frames: int = 5) -> MakeConsumer:
    """Make an `InboxConsumer` for each connection."""
    return lambda connection, registry, events: InboxConsumer(
        connection, handler, limit=limit, max_bad_frames=max_bad_frames, tasks=registry.tasks, emit=events
    )


def relaying(publish: Callable[[str, Sequence[bytes]], object], hub: Hub, topic: str = "t") -> MakeConsumer:
    """Make a `RelayConsumer` for each connection."""
    return lambda connection, registry, events: RelayConsumer(connection, topic, publish, hub)


def make_listener(
    registry: Registry,
    events: Events,
    make: MakeConsumer,
    *,
    url: Address | None = None,
    framing: Framing | None = None,
    name: str | None = None,
    target: str = "topic t",
    has_socket: bool = True,
    tls: TlsOptions | None = None,
    **options: Any,
) -> Listener:
    """Return a listener on a port that the system chooses, unless told otherwise."""
    return Listener(
        name=name,
        address=url or Address("tcp", host="127.0.0.1", port=0),
        framing=framing or LineFraming(),
        target=target,
        options=ListenerOptions(**options),
        make_consumer=lambda connection: make(connection, registry, events),
        registry=registry,
        now=asyncio.get_running_loop().time,
        emit=events,
        has_socket=has_socket,
        tls=tls,
    )


@asynccontextmanager
async def serving(
    make: MakeConsumer,
    *,
    max_connections: int = 1000,
    tick_s: float = 0.02,
    faults_expected: bool = False,
    **options: Any,
) -> AsyncIterator[Serving]:
    """Run a listener; afterwards check that nothing is left and no callback has raised."""
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    events = Events()
    registry = Registry(loop, max_connections=max_connections, tick_s=tick_s)
    listener = make_listener(registry, events, make, **options)
    listener.bind()
    listener.start()
    it = Serving(listener, registry, events, faults)
    try:
        yield it
    finally:
        await listener.stop()
        for connection in registry:
            connection.abort("aborted")
        for device in it.devices:
            device.close()
        await eventually(lambda: not registry.tasks, "a handler did not end")
        await eventually(lambda: it.is_empty, "connections are left")
        registry.close()
        loop.set_exception_handler(None)
    assert faults_expected or not faults, faults


def failures(events: Events) -> list[str]:
    """Return what handlers raised, in words."""
    return [f"{type(one.error).__name__}: {one.error}" for one in events.of(HandlerFailed)]


def free_port() -> int:
    """Return a TCP port on which nobody listens now."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


SMALL: dict[str, Any] = {"write_buffer_bytes": 1024}
"""Options of a listener whose devices are soon not keeping up."""


async def fill(it: Serving, connection: Connection) -> None:
    """Send to a device that does not read until its connection says that it does not keep up."""
    await eventually(lambda: not connection.send_nowait(b"x" * 10_000))
    assert connection.bytes_sent > 1024


def recorder(connection: Connection) -> Recorder:
    """Return the consumer of a connection, which keeps what it gets."""
    consumer = connection._consumer
    assert isinstance(consumer, Recorder)
    return consumer


async def received(connection: Connection, count: int) -> None:
    """Wait until so many bytes have come."""
    await eventually(lambda: connection.bytes_received == count)
