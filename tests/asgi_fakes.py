"""The server's side of an ASGI connection, and the owner of a sink, without a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio

from portcast.brokers import MemoryBroker
from portcast.config import GatewayOptions, TopicOptions
from portcast.delivery import Batch, OutboxLimits, Sink
from portcast.events import Event
from portcast.history import HistoryLimits
from portcast.runtime import Node
from portcast.topic_table import TopicTable

Message = MutableMapping[str, Any]


async def until(condition: Callable[[], object], what: str, limit_s: float = 5.0) -> None:
    """Return as soon as ``condition()`` is true; fail and say what was waited for after ``limit_s``."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        await anyio.sleep(0.002)


class Peer:
    """What `send` and `receive` of a connection reach.

    Attributes:
        sent: what the application sent, in order.
        may_take: cleared, `send` waits, as uvicorn's does for a peer that does not read.
        stops_after: clear ``may_take`` when so many messages have been sent; 0 for never.
        send_error: raised by `send` when set.
        receive_error: raised by `receive` when set.
        receiving: how many calls of `receive` wait.
    """

    def __init__(self, *incoming: Message) -> None:
        self.sent: list[Message] = []
        self.may_take = asyncio.Event()
        self.may_take.set()
        self.stops_after = 0
        self.send_error: BaseException | None = None
        self.receive_error: BaseException | None = None
        self.receiving = 0
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        for message in incoming:
            self.says(message)

    def says(self, message: Message) -> None:
        """Let the application receive a message."""
        self._incoming.put_nowait(message)

    def leaves(self) -> None:
        """Let the application receive the WebSocket's end."""
        self.says({"type": "websocket.disconnect", "code": 1001})

    async def receive(self) -> Message:
        """See ASGI."""
        if self.receive_error is not None:
            raise self.receive_error
        self.receiving += 1
        try:
            return await self._incoming.get()
        finally:
            self.receiving -= 1

    async def send(self, message: Message) -> None:
        """See ASGI."""
        await self.may_take.wait()
        if self.send_error is not None:
            raise self.send_error
        self.sent.append(message)
        if len(self.sent) == self.stops_after:
            self.may_take.clear()

    @property
    def body(self) -> bytes:
        """The response's body so far."""
        return b"".join(one["body"] for one in self.sent if one["type"] == "http.response.body")


class Transport:
    """A transport that holds bytes for a peer that does not take them.

    Attributes:
        buffered: how many.
        is_forgetful: it was closed twice and is asyncio's over TLS.
    """

    def __init__(self, buffered: int = 0) -> None:
        self.buffered = buffered
        self.is_aborted = False
        self.is_closed = False
        self.is_forgetful = False

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self.is_aborted = True
        self.buffered = 0

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self.is_closed or self.is_aborted

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        if self.is_forgetful:
            raise AttributeError("'NoneType' object has no attribute '_get_write_buffer_size'")
        return self.buffered


class Owner:
    """A sink's owner that keeps what it is told, and may have one more batch to write."""

    def __init__(self) -> None:
        self.written = (0, 0)
        self.drained = 0
        self.next_batch: Batch | None = None
        self.sink: Sink | None = None

    def on_written(self, count: int, size: int) -> None:
        """See `portcast.delivery.SinkOwner`."""
        self.written = (self.written[0] + count, self.written[1] + size)

    def on_drained(self) -> None:
        """See `portcast.delivery.SinkOwner`."""
        self.drained += 1
        batch, self.next_batch = self.next_batch, None
        if batch is not None and self.sink is not None:
            self.sink.write(batch)


def texts(*payloads: str) -> Batch:
    """A batch of text messages."""
    items: Sequence[Message] = [{"type": "websocket.send", "text": one} for one in payloads]
    return Batch(items, len(items), sum(map(len, payloads)))


@asynccontextmanager
async def started_node(
    emit: Callable[[Event], object] = lambda event: None,
    *,
    outbox: OutboxLimits | None = None,
    history: HistoryLimits | None = None,
    topics: Mapping[str, TopicOptions] | None = None,
) -> AsyncIterator[Node]:
    """A running node without listeners."""

    def tell(event: Event) -> None:
        emit(event)

    table = TopicTable(topics or {}, history=history or HistoryLimits())
    node = Node(
        [],
        broker=MemoryBroker(table.history, limits_of=table.history_of),
        options=GatewayOptions(drain_timeout_s=2),
        outbox=outbox or OutboxLimits(),
        topics=table,
        emit=tell,
    )
    await node.start()
    yield node
    await node.stop()
