from __future__ import annotations

import asyncio

import pytest

from portcast.events import HandlerFailed
from portcast.runtime import Connection
from portcast.runtime.handler_timeout import TimedHandler
from runtime_kit import FakeHandler, eventually, handling, serving

pytestmark = pytest.mark.anyio


def timed(handler: FakeHandler, timeout_s: float = 0.02) -> FakeHandler:
    """Return the handler with a deadline."""
    return TimedHandler(handler, timeout_s)  # type: ignore[return-value]  # what the kit calls a handler


async def test_a_message_out_of_time_has_failed_and_the_next_is_handled() -> None:
    """The handler is cancelled; its message counts like one whose handler raised."""
    was_cancelled: list[bytes] = []

    async def work(frame: bytes, connection: Connection) -> None:
        if frame == b"slow":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                was_cancelled.append(frame)
                raise

    handler = FakeHandler(work)
    async with serving(handling(timed(handler))) as server:
        device, _ = await server.connected()
        await device.send(b"slow\nquick\n")
        await eventually(lambda: handler.frames == [b"slow", b"quick"])
        assert was_cancelled == [b"slow"]
        (event,) = server.events.of(HandlerFailed)
        assert isinstance(event.error, TimeoutError)
        assert str(event.error) == "on_reading took longer than handler_timeout=0.02 s"


async def test_a_handlers_own_timeout_stays_its_own() -> None:
    """A TimeoutError that the handler raised says what it waited for; ours would hide that."""

    async def work(frame: bytes, connection: Connection) -> None:
        raise TimeoutError("the database")

    async with serving(handling(timed(FakeHandler(work), 60))) as server:
        device, _ = await server.connected()
        await device.send(b"a\n")
        await eventually(lambda: server.events.of(HandlerFailed))
        assert str(server.events.of(HandlerFailed)[0].error) == "the database"


async def test_a_per_connection_handler_has_no_deadline() -> None:
    """It runs as long as the connection; the rest of a session passes through, too."""
    seen: list[str] = []

    async def run(connection: Connection) -> None:
        await asyncio.sleep(0.05)
        seen.append("run")

    async def on_open(connection: Connection) -> None:
        seen.append("open")

    async def on_close() -> None:
        seen.append("close")

    handler = FakeHandler(run=run, on_open=on_open, on_close=on_close)
    async with serving(handling(timed(handler))) as server:
        await server.connect()
        await eventually(lambda: seen == ["open", "run", "close"])
