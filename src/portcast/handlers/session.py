"""A compiled handler at work for one connection.

Three classes, so that a message pays only for what its handler uses: `PlainSession` when no dependency of the message
must be closed, `ManagedSession` when one must, `ConnectionSession` for per-connection handlers. All of them open and
close the connection's own dependencies the same way. The methods run in one task, one after the other, as
`portcast.runtime.session.Session` says, so nothing here is locked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from portcast.handlers.calls import Slots, run_steps
from portcast.handlers.lifecycle import Opened, unwind
from portcast.handlers.plan import Plan


class _Session:
    __slots__ = ("_opened", "_plan", "_values")

    def __init__(self, plan: Plan, connection: object) -> None:
        self._plan = plan
        self._values: Slots = [connection]
        self._opened: Opened = []

    @property
    def values(self) -> Slots:
        """The connection, and what lives as long as it; to be read only."""
        return self._values

    async def open(self) -> None:
        """Run the dependencies that live as long as the connection. When cancelled, those that ran await `close`."""
        await run_steps(self._plan.connection_steps, self._values, self._opened)

    async def failed(self, error: Exception) -> None:
        """Do nothing: `portcast.handlers.listener_hooks` tells the application."""

    async def idle(self) -> None:
        """As `failed`."""

    async def close(self, error: BaseException | None) -> None:
        """Close them in reverse order. A second call does nothing.

        A cancellation meanwhile is shown to those that are still open; all are closed before it continues.

        Args:
            error: what ended the connection, shown to them; None for an orderly end. It is not raised again.

        Raises:
            BaseException: what a dependency raised instead, after all were closed.
        """
        left = await unwind(self._opened, error)
        del self._values[1:]
        if left is not None and left is not error:
            raise left


class MessageSession(_Session):
    """What sessions that are called once per message have in common."""

    __slots__ = ("decode",)

    def __init__(self, plan: Plan, connection: object, decode: Callable[[bytes], Any]) -> None:
        super().__init__(plan, connection)
        self.decode = decode
        """The codec's; see `portcast.runtime.session.Session`."""

    def handle(self, message: object) -> Awaitable[object]:
        """See `portcast.runtime.session.Session`."""
        raise NotImplementedError

    async def run(self) -> NoReturn:
        """Never used: the handler is called per message."""
        raise AssertionError("run() is for per-connection handlers")


class PlainSession(MessageSession):
    """Calls a handler once per message; no dependency of the message must be closed."""

    __slots__ = ()

    async def handle(self, message: object) -> object:
        """Run the message's dependencies and the handler, and return its result. Holds nothing when cancelled.

        Raises:
            Exception: whatever the handler or a dependency raised.
        """
        plan = self._plan
        slots = [*self._values, message]
        for invoke, is_async, _ in plan.message_steps:
            slots.append(await invoke(slots) if is_async else invoke(slots))
        return await plan.call(slots)


class ManagedSession(MessageSession):
    """Calls a handler once per message and closes the message's dependencies after it."""

    __slots__ = ()

    async def handle(self, message: object) -> object:
        """Run the message's dependencies and the handler, close the dependencies, return the handler's result.

        None is the result, too, if a dependency dealt with an error.

        Cancellation is raised in the dependencies too; they are closed when it continues.

        Raises:
            Exception: whatever the handler or a dependency raised, if no dependency ended it.
        """
        plan = self._plan
        slots = [*self._values, message]
        opened: Opened = []
        error: BaseException | None = None
        result: object = None
        try:
            await run_steps(plan.message_steps, slots, opened)
            result = await plan.call(slots)
        except BaseException as raised:  # noqa: BLE001 - raised again below, unless a dependency ended it
            error = raised
        # Outside of the except block: inside, `raise` would overwrite the context of an error from closing.
        error = await unwind(opened, error)
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        return result


class ConnectionSession(_Session):
    """Calls a handler once for the connection."""

    __slots__ = ()

    async def run(self) -> None:
        """Run the handler to its end. Whatever it raises is passed on; `close` shows it to the dependencies."""
        await self._plan.call(self._values)

    def decode(self, frame: bytes) -> NoReturn:
        """Never used: the handler reads frames from the connection."""
        raise AssertionError("decode() is for per-message handlers")

    async def handle(self, message: object) -> NoReturn:
        """Never used: the handler reads frames from the connection."""
        raise AssertionError("handle() is for per-message handlers")
