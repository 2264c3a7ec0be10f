"""Lets a device say who it is before anything that it sends counts.

A `Gate` takes a connection's frames in place of its consumer, until the check has said yes. The check sees the
connection (its address, its certificate) and the first frame, and answers:

===========  ==========================================================================================================
``True``     it is let in, and the frame is its first message: for protocols whose messages name a token
``"login"``  it is let in, and the frame is used up: for protocols that begin with a login
``False``    it is not; the connection is closed, ``unauthenticated``
===========  ==========================================================================================================

States: *waiting* (for the first frame) → *checking* (an awaitable; nothing is read meanwhile) → *open* (the gate is out
of the way) or *refused*. All of it within ``authentication_timeout_s`` from accept, which `Connection` looks after. One
attempt: who is refused connects again, and is seen by the limits of connections.

Until then no handler, no dependency and no relay knows of the connection, and at most one read of it waits here.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from portcast.api_keys import digests_of, is_one_of
from portcast.errors import ConfigurationError
from portcast.events import Emit, HandlerAbandoned, HandlerFailed
from portcast.runtime.connection import Connection
from portcast.runtime.consumer import Consumer
from portcast.types import ListenerName

Answer = Literal["login"] | bool
Authenticate = Callable[[Connection, bytes], Answer | Awaitable[Answer]]
"""See the top of the module. Called on the loop; it must not block, and may be cancelled at the deadline."""

NAME = "authenticate"


def check_of(
    authenticate: Authenticate | None, tokens: Sequence[str], environment: Mapping[str, str], listener: str
) -> Authenticate | None:
    """Return the check of a listener, None if it lets everybody in.

    Args:
        authenticate: the application's.
        tokens: ``sha256:HEX`` and ``env:NAME``: then the first frame is one of these tokens, spaces around it aside.
        environment: variables that hold tokens.
        listener: names it in errors.

    Raises:
        ConfigurationError: both are given, or a token cannot be used.
    """
    if not tokens:
        return authenticate
    key = f"listener {listener}: device_tokens"
    if authenticate is not None:
        raise ConfigurationError(key, "authenticate= is given, too", "give one of the two")
    known = digests_of(tokens, environment, key)

    def is_token(connection: Connection, frame: bytes) -> Answer:
        return "login" if is_one_of(known, frame.strip()) else False

    return is_token


class Gate:
    """See the theory on top of the module; a `Consumer`."""

    __slots__ = ("_check", "_connection", "_emit", "_has_ended", "_is_decided", "_make", "_task", "_tasks", "_waiting")

    def __init__(
        self,
        connection: Connection,
        check: Authenticate,
        make_consumer: Callable[[Connection], Consumer],
        tasks: set[asyncio.Task[None]],
        emit: Emit,
    ) -> None:
        """Close a connection to everything but the check.

        Args:
            connection: whose frames are looked at.
            check: the user's.
            make_consumer: takes the frames once it is let in.
            tasks: keeps the check's task known to whoever waits for it at shutdown.
            emit: takes what happens.
        """
        connection.is_admitted = False
        self._connection = connection
        self._check = check
        self._make = make_consumer
        self._tasks = tasks
        self._emit = emit
        self._waiting: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self._has_ended = False
        self._is_decided = False

    def frames_received(self, frames: list[bytes]) -> bool:
        """See `Consumer.frames_received`."""
        is_first = not self._waiting
        self._waiting += frames
        if not is_first:
            return True
        try:
            answer = self._check(self._connection, self._waiting[0])
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            self._failed(error)
            return True
        if inspect.isawaitable(answer):
            self._task = asyncio.get_running_loop().create_task(self._wait(answer), name=f"check-{self._connection.id}")
            self._tasks.add(self._task)
            self._task.add_done_callback(self._tasks.discard)
            return True
        return self._decide(answer)

    async def _wait(self, answer: Awaitable[Answer]) -> None:
        try:
            decided = await answer
        except asyncio.CancelledError:
            self._refuse("the check was cancelled")
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return
        if not self._is_decided and not self._decide(decided):
            self._connection.resume_reading()

    def _decide(self, answer: object) -> bool:
        """Let the device in or not; return True to stop reading."""
        # Identity and not truth: a check that returns a user's record by mistake, or a coroutine's, lets nobody in.
        if answer is not True and answer != "login":
            self._refuse(f"the check said {answer!r}" if isinstance(answer, bool) else "the check gave no answer")
            return True
        self._is_decided = True
        frames, self._waiting = self._waiting[answer == "login" :], []
        consumer = self._make(self._connection)
        self._connection.admit(consumer)
        is_full = bool(frames) and consumer.frames_received(frames)
        if self._has_ended:
            consumer.ended()
        return is_full

    def _failed(self, error: Exception) -> None:
        connection = self._connection
        self._emit(HandlerFailed(connection.id, ListenerName(connection.listener), NAME, error))
        self._refuse(f"the check raised {type(error).__name__}")

    def _refuse(self, why: str) -> None:
        if not self._is_decided:
            self._is_decided = True
            self._connection.end("unauthenticated", why)
            self._connection.consumer_done()

    # The rest of a consumer

    @property
    def is_busy(self) -> bool:
        """True while the check works."""
        return self._task is not None and not self._task.done()

    @property
    def waiting_bytes(self) -> int:
        """See `Consumer.waiting_bytes`."""
        return sum(map(len, self._waiting))

    def ended(self) -> None:
        """See `Consumer.ended`. A check that works goes on after an orderly end, for a device that only half-closed."""
        self._has_ended = True
        if self._connection.is_refused:
            self._is_decided = True
            self._stop()
        if not self.is_busy:
            self._connection.consumer_done()

    def discard(self) -> int:
        """See `Consumer.discard`."""
        lost = len(self._waiting)
        self._waiting = []
        return lost

    def abort(self) -> int:
        """See `Consumer.abort`."""
        lost = self.discard()
        self._is_decided = True
        self._stop()
        if not self.is_busy:
            self._connection.consumer_done()
        return lost

    def _stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.add_done_callback(lambda task: self._connection.consumer_done())
            self._task.cancel()

    def abandon(self) -> None:
        """See `Consumer.abandon`."""
        connection = self._connection
        self._emit(HandlerAbandoned(connection.id, ListenerName(connection.listener), NAME))

    def rest(self, silent_s: float) -> None:
        """See `Consumer.rest`: nothing can be let go of."""

    async def receive(self) -> bytes:
        """Refuse: nobody is let in yet."""
        raise RuntimeError("the device was not let in yet")
