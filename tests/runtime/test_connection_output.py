from __future__ import annotations

import asyncio

import pytest

from portcast.errors import ConnectionClosedError
from portcast.runtime.connection_output import Output
from runtime_kit import eventually, recording, serving

pytestmark = pytest.mark.anyio

BIG = b"x" * 50_000


async def test_push_sends_whatever_waits() -> None:
    """For callers that bound by themselves how much that is."""
    async with serving(recording(), write_buffer_bytes=1024) as it:
        device, connection = await it.connected(receive_buffer=4096)
        sent = 0
        while connection.send_nowait(BIG):
            sent += 1
        connection.push(b"last")
        waiting = asyncio.ensure_future(connection.wait_writable())
        await asyncio.sleep(0)
        assert not waiting.done()
        data = await device.receive(sent * (len(BIG) + 1) + 5)
        assert data.endswith(b"last\n")
        await waiting
        await connection.send(b"more")
        assert await device.receive(5) == b"more\n"


async def test_nobody_waits_for_a_connection_that_has_ended() -> None:
    """`wait_writable` returns, `push` and `send` refuse."""
    async with serving(recording(), write_buffer_bytes=1024) as it:
        device, connection = await it.connected(receive_buffer=4096)
        while connection.send_nowait(BIG):
            pass
        waiting = [asyncio.ensure_future(one) for one in (connection.wait_writable(), connection.send(b"x"))]
        await asyncio.sleep(0)
        device.reset()
        await eventually(lambda: all(one.done() for one in waiting))
        assert waiting[0].exception() is None
        assert isinstance(waiting[1].exception(), ConnectionClosedError)
        with pytest.raises(ConnectionClosedError):
            connection.push(b"x")
        assert connection.is_lost
        await connection.wait_writable()


def test_the_other_half_says_whether_it_is_open() -> None:
    """This one cannot know."""
    with pytest.raises(NotImplementedError):
        _ = Output().is_open
