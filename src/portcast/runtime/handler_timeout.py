"""A deadline for each message in its handler.

Around the user's handler and inside everything else, so that a message that ran out of time is one that failed:
`HandlerFailed` is emitted, and a ``nack`` is sent as for any error. A handler without a deadline has nothing around it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portcast.runtime.connection import Connection
    from portcast.runtime.session import Handler, Session
from portcast.runtime.session_wrapper import SessionWrapper


class TimedHandler:
    """A handler whose messages have a deadline; see `portcast.runtime.session.Handler`."""

    def __init__(self, handler: Handler, timeout_s: float) -> None:
        self.name = handler.name
        self.is_per_connection = handler.is_per_connection
        self.needs_open = handler.needs_open
        self.has_idle_hook = handler.has_idle_hook
        self.timeout_s = timeout_s
        self._handler = handler

    def session(self, connection: Connection) -> TimedSession:
        """Return a fresh session for one connection."""
        return TimedSession(self, self._handler.session(connection))


class TimedSession(SessionWrapper):
    """A session whose messages have a deadline; a per-connection handler has no message whose time could run out."""

    __slots__ = ("_handler",)

    def __init__(self, handler: TimedHandler, session: Session) -> None:
        super().__init__(session)
        self._handler = handler

    async def handle(self, message: object) -> object:
        """Handle one message within the deadline; the handler is cancelled when it has passed.

        A handler that swallows the cancellation and returns has handled its message.

        Raises:
            TimeoutError: the deadline has passed.
            Exception: whatever the handler or a dependency raised.
        """
        handler = self._handler
        deadline = asyncio.timeout(handler.timeout_s)
        try:
            async with deadline:
                return await self._session.handle(message)
        except TimeoutError as error:
            if not deadline.expired():
                raise  # the handler's own
            problem = f"{handler.name} took longer than handler_timeout={handler.timeout_s:g} s"
            raise TimeoutError(problem) from error
