"""A session around another one: what it does not say differently is passed on."""

from __future__ import annotations

from portcast.runtime.session import Session


class SessionWrapper:
    """See `portcast.runtime.session.Session` for the methods; each is the inner session's."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    async def open(self) -> None:
        """See `Session.open`."""
        await self._session.open()

    async def run(self) -> None:
        """See `Session.run`."""
        await self._session.run()

    async def failed(self, error: Exception) -> None:
        """See `Session.failed`."""
        await self._session.failed(error)

    async def idle(self) -> None:
        """See `Session.idle`."""
        await self._session.idle()

    async def close(self, error: BaseException | None) -> None:
        """See `Session.close`."""
        await self._session.close(error)

    def decode(self, frame: bytes) -> object:
        """See `Session.decode`."""
        return self._session.decode(frame)

    async def handle(self, message: object) -> object:
        """See `Session.handle`."""
        return await self._session.handle(message)
