"""The consumer of a handler: a bounded inbox, and one task that works it off in order.

The task starts with the first frame (or at connect, when dependencies of the connection or a per-connection handler
need it), so an idle device costs no task: one that has been silent for a while ends, and another starts with the next
frame, unless dependencies of the connection are open. Otherwise it ends when the connection has ended and its inbox is
empty, so whatever was received before the end is handled.

Frames are handled one at a time. A handler that fails costs its message; a frame that the codec refuses costs that
frame, and too many of these in a row cost the connection.
"""

from __future__ import annotations

import asyncio
from collections import deque

from portcast.errors import CodecError, ConnectionClosedError, MessageUnhandled
from portcast.events import Emit, FrameRejected, HandlerAbandoned, HandlerFailed
from portcast.runtime.connection import Connection
from portcast.runtime.session import Handler, Session
from portcast.types import ListenerName

YIELD_EVERY = 64
"""Messages handled before the loop gets a turn: a handler that never suspends must not starve the others."""


class InboxConsumer:
    """See the theory on top of the module."""

    __slots__ = (
        "_bad_in_a_row",
        "_connection",
        "_emit",
        "_handler",
        "_has_ended",
        "_idle_since",
        "_inbox",
        "_is_handling",
        "_is_idle",
        "_is_resting",
        "_limit",
        "_max_bad",
        "_session",
        "_tasks",
        "_waiter",
        "task",
    )

    def __init__(
        self,
        connection: Connection,
        handler: Handler,
        *,
        limit: int,
        max_bad_frames: int,
        tasks: set[asyncio.Task[None]],
        emit: Emit,
    ) -> None:
        """Prepare to work for one connection.

        Args:
            connection: whose frames are handled.
            handler: the user's function.
            limit: frames that wait before reading stops.
            max_bad_frames: so many frames in a row that the codec refuses end the connection; 0 for never.
            tasks: keeps the task alive and known to whoever waits for it at shutdown.
            emit: takes what happens.
        """
        self._connection = connection
        self._handler = handler
        self._limit = limit
        self._max_bad = max_bad_frames
        self._tasks = tasks
        self._emit = emit
        # A deque only while something waits: an empty one has 624 bytes.
        self._inbox: deque[bytes] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_handling = False
        self._is_resting = False
        self._has_ended = False
        self._bad_in_a_row = 0
        # Of the task that runs.
        self._session: Session | None = None
        # When that was received after which the application is to be told, or was told, of silence.
        self._idle_since = -1.0
        self._is_idle = False
        self.task: asyncio.Task[None] | None = None
        if handler.needs_open or handler.is_per_connection:
            self._start()

    def _start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"portcast-{self._connection.id}")
        self._tasks.add(self.task)
        self.task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._is_resting and not self._has_ended and not task.cancelled() and task.exception() is None:
            self.task, self._is_resting = None, False
            if self._inbox or self._is_idle:  # came while the session was closed
                self._start()
            else:
                self._inbox = None
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
            self._connection.end("handler_failed", f"{type(error).__name__} in {self._handler.name}")
        self._connection.end("closed")
        self._connection.consumer_done()

    # What the connection calls

    def frames_received(self, frames: list[bytes]) -> bool:
        """See `Consumer.frames_received`."""
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.extend(frames)
        if self.task is None:
            self._start()
        else:
            self._wake()
        return len(self._inbox) >= self._limit

    def ended(self) -> None:
        """See `Consumer.ended`."""
        self._has_ended = True
        if self.task is None:
            self._connection.consumer_done()
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def is_busy(self) -> bool:
        """True while frames wait or one is being handled; a per-connection handler that waits for one is not busy."""
        return self._is_handling or bool(self._inbox)

    @property
    def waiting_bytes(self) -> int:
        """See `Consumer.waiting_bytes`."""
        return sum(map(len, self._inbox or ()))

    def discard(self) -> int:
        """See `Consumer.discard`."""
        lost = len(self._inbox or ())
        self._inbox = None
        return lost

    def abort(self) -> int:
        """See `Consumer.abort`. A frame that is being handled counts as lost, whatever becomes of it."""
        lost = self.discard() + self._is_handling
        self._has_ended = True
        if self.task is None:
            self._connection.consumer_done()
        else:
            self.task.cancel()
        return lost

    def abandon(self) -> None:
        """Report a handler that goes on although it was cancelled."""
        if self.task is None or self.task.done():
            return
        self._emit(HandlerAbandoned(self._connection.id, ListenerName(self._connection.listener), self._handler.name))

    def rest(self, silent_s: float) -> None:
        """See `Consumer.rest`."""
        handler = self._handler
        if handler.has_idle_hook and silent_s >= self._connection.idle_s and self._ask_if_idle():
            return
        if self._waiter is not None and not handler.needs_open and not handler.is_per_connection:
            self._is_resting = True
            self._wake()

    def _ask_if_idle(self) -> bool:
        """Have the task tell of silence; return False if it was told of this one."""
        if self._idle_since == self._connection.received_at:
            return False
        self._idle_since = self._connection.received_at
        self._is_idle = True
        if self.task is None:
            self._start()
        else:
            self._wake()
        return True

    async def receive(self) -> bytes:
        """See `Consumer.receive`."""
        if not self._handler.is_per_connection:
            raise RuntimeError(
                f"{self._handler.name} is called once per message; leave out its message parameter to iterate over "
                "the connection"
            )
        if self._waiter is not None:
            raise RuntimeError("another task waits for the next frame of this connection already")
        self._is_handling = False
        frame = await self._next()
        if frame is None:
            raise ConnectionClosedError(self._connection.id, "no more frames")
        self._is_handling = True
        return frame

    # The task

    async def _next(self) -> bytes | None:
        """Return the next frame, or None when there will be none. Cancelling loses none."""
        while not self._inbox:
            if self._is_idle and not self._has_ended:
                await self._tell_idle()
                continue
            if self._has_ended or self._is_resting:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._is_resting = False
        frame = self._inbox.popleft()
        if not self._connection.is_reading and len(self._inbox) <= self._limit // 2:
            self._connection.resume_reading()
        return frame

    async def _tell_idle(self) -> None:
        self._is_idle = False
        if self._session is not None and self._idle_since == self._connection.received_at:
            await self._session.idle()

    async def _run(self) -> None:
        try:
            await self._run_session()
        except SystemExit as error:
            # A task passes it to the loop, which would end the process in the midst of everybody else's messages.
            raise RuntimeError(f"SystemExit: {error}") from error

    async def _run_session(self) -> None:
        session = self._session = self._handler.session(self._connection)
        failure: BaseException | None = None
        try:
            await session.open()
            if self._handler.is_per_connection:
                await session.run()
            else:
                await self._handle_all(session)
        except BaseException as error:
            failure = error
            if isinstance(error, Exception):
                await session.failed(error)
            raise
        finally:
            self._is_handling = False
            self._session = None
            await session.close(failure)

    async def _handle_all(self, session: Session) -> None:
        handled = 0
        while (frame := await self._next()) is not None:
            self._is_handling = True
            await self._handle(session, frame)
            del frame  # nothing is kept while the device is silent
            self._is_handling = False
            handled += 1
            if handled % YIELD_EVERY == 0 and self._inbox:
                await asyncio.sleep(0)

    async def _handle(self, session: Session, frame: bytes) -> None:
        try:
            message = session.decode(frame)
        except CodecError as error:
            self._rejected(error)
            await session.failed(error)
            return
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a codec of the user's own may raise anything
            await self._failed_in(session, error)
            return
        self._bad_in_a_row = 0
        try:
            await session.handle(message)
        except asyncio.CancelledError as error:
            # Not ours if nobody cancelled this task: the handler awaited something that was cancelled.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._failed(error)
        except MessageUnhandled as error:
            # The device is not at fault: this never ends its connection.
            self._refused(error, in_a_row=1)
            await session.failed(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what a user's handler raises costs its message only
            await self._failed_in(session, error)

    async def _failed_in(self, session: Session, error: BaseException) -> None:
        self._failed(error)
        if isinstance(error, Exception):
            await session.failed(error)

    def _rejected(self, error: CodecError) -> None:
        self._bad_in_a_row += 1
        self._refused(error, self._bad_in_a_row)
        if self._max_bad and self._bad_in_a_row >= self._max_bad:
            self._connection.end("bad_frames", str(error))

    def _refused(self, error: CodecError, in_a_row: int) -> None:
        connection = self._connection
        self._emit(FrameRejected(connection.id, ListenerName(connection.listener), str(error), in_a_row))

    def _failed(self, error: BaseException) -> None:
        connection = self._connection
        self._emit(HandlerFailed(connection.id, ListenerName(connection.listener), self._handler.name, error))
