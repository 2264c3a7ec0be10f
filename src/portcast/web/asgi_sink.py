"""The plain tier of sinks: one writer task per client over ASGI ``send``. Works under every ASGI server.

States: *idle* (waits for a batch) → *writing* (one batch, item by item) → idle, until *closing*. A client that shall
come back (1012, 3001) gets the rest of what is being written, then the goodbye. For one that is removed the subscriber
has counted the rest as dropped, so it is abandoned at the next item.

A keepalive has a deadline here, because nothing else measures a client that does not take it; one that does not take
publications is removed by its subscriber.

Whatever ends the sink, the transport is gone soon after: if the server does not take the goodbye within a second, or if
bytes that it took still wait for the peer a second after the end, the transport is aborted. A server that merely
closes it waits for a peer that may never read, and its own shutdown with it (uvicorn 0.54 without
``timeout_graceful_shutdown``: for ever).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from starlette.websockets import WebSocketDisconnect

from portcast.delivery import Batch, SinkOwner
from portcast.runtime import CLOSE_RESTART, CLOSE_SHUTDOWN
from portcast.web.transports import Receive, Send, buffered_in

CLOSE_S = 0.75
"""How long a goodbye may take before the transport is aborted, and what is left in the transport after the end."""
WRITE_S = 30.0
"""How long a peer may take for a keepalive, then abort (design: write timeout)."""
MOST_ANSWERS = 64
"""Items of `AsgiSink.write_now` that may wait for the server before the client should be answered no more."""
SLICE = 32
"""Messages written, or read, before the loop gets a turn: uvicorn's ``send`` returns without one while the peer keeps
up, and its ``receive`` while messages wait."""

Message = MutableMapping[str, Any]
Farewell = Callable[[int, str], Message]
"""Makes the last message from a close code and a reason."""


OnMessage = Callable[[str | bytes], None]
"""Takes a message of the client; must not block or raise."""


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
        # What is being written, and how many of its items the server has taken that the owner does not know of.
        self._batch: Batch | None = None
        self._untold = 0
        # What is not a publication: how much of it was there before the batch, and whether the owner waits for room.
        self._answers: deque[object] = deque()
        self._answers_first = 0
        self._is_full = False
        self._goodbye: Message | None = None
        self._is_removed = False
        self._wake: asyncio.Future[None] | None = None
        self._abort_timer: asyncio.TimerHandle | None = None
        # The writer, and who watches for the client's leaving.
        self._task: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        # Done when reading may go on; None while nothing holds it.
        self._held: asyncio.Future[None] | None = None
        self.close_reason = ""

    def bind(self, owner: SinkOwner) -> None:
        """Set whom to tell of progress."""
        self._owner = owner

    # What the subscriber calls

    def write(self, batch: Batch) -> bool:
        """See `Sink.write`; it is never done at once."""
        self._batch = batch
        self._answers_first = len(self._answers)
        self._notify()
        return False

    def write_now(self, items: Sequence[object]) -> bool:
        """See `Sink.write_now`."""
        self._answers.extend(items)
        self._notify()
        # Until the owner is told otherwise, also if there is room again before that.
        self._is_full = self._is_full or len(self._answers) >= MOST_ANSWERS
        return not self._is_full

    @property
    def buffered(self) -> int:
        """See `Sink.buffered`."""
        return buffered_in(self._transport) if self._transport is not None else 0

    def close(self, code: int, reason: str) -> None:
        """See `Sink.close`."""
        if self._goodbye is None:
            self._tell()
            self.close_reason = reason
            self._goodbye = self._farewell(code, reason)
            self._is_removed = code not in (CLOSE_RESTART, CLOSE_SHUTDOWN)
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

    @property
    def can_be_held_long(self) -> bool:
        """False: the server's own pings go on, and it ends a client whose pongs it cannot read."""
        return False

    def hold_reading(self) -> None:
        """Read nothing more until `read_on`, also not that the client leaves."""
        if self._held is None:
            self._held = asyncio.get_running_loop().create_future()

    def read_on(self) -> None:
        """Undo `hold_reading`."""
        held, self._held = self._held, None
        if held is not None and not held.done():
            held.set_result(None)

    async def _read(self, receive: Receive, on_message: OnMessage | None) -> None:
        """Read what the client sends until it leaves; unless it is held always, so that pongs are seen."""
        number = 0
        while (message := await receive())["type"] not in ("websocket.disconnect", "http.disconnect"):
            if on_message is not None and message["type"] == "websocket.receive":
                text = message.get("text")
                on_message(message["bytes"] if text is None else text)
            number += 1
            if self._held is not None:
                await self._held
            elif number % SLICE == 0:
                await asyncio.sleep(0)

    # The writer

    async def run(self, receive: Receive, on_message: OnMessage | None = None) -> str:
        """Write until the client leaves, the goodbye is sent, or the sink is aborted; return why it ended.

        What the client sends goes to ``on_message``, or is ignored.

        Owns two tasks, the writer and the reader that watches for the client's leaving, and ends both, also when
        cancelled. Everything the server took has been told to the owner when it returns.

        Raises:
            Exception: whatever the server's ``send`` or ``receive`` raised, except that the client is gone.
        """
        self._task = asyncio.ensure_future(self._write_all())
        self._reader = asyncio.ensure_future(self._read(receive, on_message))
        tasks = (self._task, self._reader)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._reader.cancelled():
                await asyncio.wait([self._task])  # it is about to say goodbye
        finally:
            for task in tasks:
                task.cancel()
            try:
                # Both end at once when cancelled, whatever the server's `send` waits for. Not `gather`: cancelled, it
                # raises one of their cancellations in place of ours, which anyio (Starlette's middleware, its test
                # client) does not recognise as its own.
                await asyncio.wait(tasks)
            finally:
                self._leave()
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return self.close_reason or "client left"

    def _leave(self) -> None:
        """Settle the account, and see to it that the transport does not outlive the sink for long."""
        self._tell()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if self._transport is not None and self._may_be_stuck(self._transport):
            asyncio.get_running_loop().call_later(CLOSE_S, self._abort_if_stuck, self._transport)

    def _may_be_stuck(self, transport: asyncio.WriteTransport) -> bool:
        return buffered_in(transport) > 0

    def _abort_if_stuck(self, transport: asyncio.WriteTransport) -> None:
        if self._may_be_stuck(transport):
            transport.abort()

    async def _write_all(self) -> None:
        try:
            while self._goodbye is None:
                if self._answers and (self._batch is None or self._answers_first):
                    await self._write_answers()
                elif self._batch is not None:
                    await self._write_batch(self._batch)
                elif not await self._next() and self._keepalive is not None:
                    await self._send_in_time(self._keepalive)
            await self._write_answers()
            if self._batch is not None and not self._is_removed:
                await self._write_batch(self._batch)
            self._answers_first = len(self._answers)  # whatever is left of the batch, nobody writes it
            await self._write_answers()
            assert self._goodbye is not None
            await self._stop_reading()
            await self._send(self._goodbye)
        except (OSError, WebSocketDisconnect):
            # The client is gone: uvicorn's ClientDisconnected, bare or as Starlette passes it on.
            return
        except RuntimeError:
            # uvicorn says this, not ClientDisconnected, when it has closed by itself: no pong, or a broken frame.
            if self._transport is None or not self._transport.is_closing():
                raise

    async def _stop_reading(self) -> None:
        """Let no ``receive`` wait while the goodbye is sent, where nothing but the goodbye ends the connection.

        Granian 2.8 answers a waiting one, drops the close frame, and leaves the connection open.
        """
        if self._transport is None and self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _send_in_time(self, message: Message) -> None:
        timer = asyncio.get_running_loop().call_later(WRITE_S, self.abort)
        try:
            await self._send(message)
        finally:
            timer.cancel()

    async def _write_answers(self) -> None:
        """Write answers, those that came after the batch not before it."""
        while self._answers and (self._batch is None or self._answers_first):
            self._answers_first = max(0, self._answers_first - 1)
            await self._send(self._answers.popleft())  # type: ignore[arg-type]  # as those of a batch
        if self._is_full and self._batch is None:
            self._is_full = False
            if self._owner is not None:
                self._owner.on_drained()

    async def _write_batch(self, batch: Batch) -> None:
        for number, item in enumerate(batch.items, 1):
            await self._send(item)  # type: ignore[arg-type]  # our encodings make ASGI messages
            self._untold += 1
            if self._is_removed:
                return
            if number % SLICE == 0 and number < len(batch.items):
                self._tell()
                await asyncio.sleep(0)
        self._batch = None
        self._untold = 0
        self._is_full = len(self._answers) >= MOST_ANSWERS
        assert self._owner is not None, "bind comes first"
        self._owner.on_drained()

    def _tell(self) -> None:
        """Tell the owner what the server has taken of the batch since the last time."""
        items, self._untold = self._untold, 0
        if not items or self._batch is None or self._owner is None:
            return
        messages = items * self._batch.messages // len(self._batch.items)
        self._owner.on_written(messages, messages * self._batch.size // max(1, self._batch.messages))

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
        return bool(self._answers) or self._batch is not None or self._goodbye is not None
