"""The plain tier of sinks: one writer task per client over ASGI ``send``. Works under every ASGI server.

States: *idle* (waits for a batch) → *writing* (one batch, item by item) → idle, until *closing*: what is being written
is abandoned at the next item, the goodbye is sent, and if the peer does not take it within a second the transport is
aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from portcast.delivery import Batch, SinkOwner
from portcast.web.transports import Receive, Send

CLOSE_S = 1.0
"""How long a goodbye may take before the transport is aborted."""
SLICE = 32
"""Messages written before the loop gets a turn: uvicorn's ``send`` returns without one while the peer keeps up."""

Message = MutableMapping[str, Any]
Farewell = Callable[[int, str], Message]
"""Makes the last message from a close code and a reason."""


class AsgiSink:
    """See the theory on top of the module."""

    def __init__(
        self,
        send: Send,
        *,
        transport: asyncio.WriteTransport | None,
        farewell: Farewell,
        keepalive: Message | None = None,
        keepalive_s: float = 25.0,
    ) -> None:
        """Prepare a sink; nothing is sent before `run`.

        Args:
            send: the ASGI callable, after the connection was accepted.
            transport: what to abort; None if the server hides it.
            farewell: makes the last message.
            keepalive: sent after ``keepalive_s`` without anything else; None for protocols that have their own pings.
            keepalive_s: seconds.
        """
        self._send = send
        self._transport = transport
        self._farewell = farewell
        self._keepalive = keepalive
        self._keepalive_s = keepalive_s
        self._owner: SinkOwner | None = None
        self._batch: Batch | None = None
        self._goodbye: Message | None = None
        self._wake: asyncio.Future[None] | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.close_reason = ""

    def bind(self, owner: SinkOwner) -> None:
        """Set whom to tell of progress."""
        self._owner = owner

    # What the subscriber calls

    def write(self, batch: Batch) -> None:
        """See `Sink.write`."""
        self._batch = batch
        self._notify()

    def close(self, code: int, reason: str) -> None:
        """See `Sink.close`."""
        if self._goodbye is None:
            self.close_reason = reason
            self._goodbye = self._farewell(code, reason)
            self._abort_timer = asyncio.get_running_loop().call_later(CLOSE_S, self.abort)
            self._notify()

    def abort(self) -> None:
        """See `Sink.abort`."""
        if self._transport is not None:
            self._transport.abort()
        if self._task is not None:
            self._task.cancel()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # The writer

    async def run(self, receive: Receive) -> str:
        """Write until the client leaves, the goodbye is sent, or the sink is aborted; return why it ended.

        Owns two tasks, the writer and the reader that watches for the client's leaving, and ends both.
        """
        self._task = asyncio.ensure_future(self._write_all())
        reader = asyncio.ensure_future(_until_disconnect(receive))
        try:
            await asyncio.wait((self._task, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._abort_timer is not None:
                self._abort_timer.cancel()
            for task in (self._task, reader):
                task.cancel()
            # Shielded by nothing: both end at once when cancelled, whatever the server's `send` waits for.
            await asyncio.gather(self._task, reader, return_exceptions=True)
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error
        return self.close_reason or "client left"

    async def _write_all(self) -> None:
        try:
            while self._goodbye is None:
                if self._batch is not None:
                    await self._write_batch(self._batch)
                elif not await self._next() and self._keepalive is not None:
                    await self._send(self._keepalive)
            await self._send(self._goodbye)
        except OSError:
            # The client is gone: uvicorn's ClientDisconnected. The reader learns of it too.
            return

    async def _write_batch(self, batch: Batch) -> None:
        assert self._owner is not None, "bind comes first"
        per_item = batch.messages // len(batch.items) if batch.items else 0
        each = batch.size // batch.messages if batch.messages else 0
        for number, item in enumerate(batch.items, 1):
            await self._send(item)  # type: ignore[arg-type]  # our encodings make ASGI messages
            if self._goodbye is not None:
                return
            if number % SLICE == 0 and number < len(batch.items):
                self._owner.on_written(SLICE * per_item, SLICE * per_item * each)
                await asyncio.sleep(0)
        self._batch = None
        self._owner.on_drained()

    async def _next(self) -> bool:
        """Wait for something to do; return False if it is time for a keepalive."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(self._keepalive_s, self._notify) if self._keepalive is not None else None
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()
        return self._batch is not None or self._goodbye is not None


async def _until_disconnect(receive: Receive) -> None:
    """Read and ignore what the client sends until it leaves. Reading goes on always, so that pongs are seen."""
    while (await receive())["type"] not in ("websocket.disconnect", "http.disconnect"):
        pass
