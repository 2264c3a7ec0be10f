from __future__ import annotations

import asyncio

import pytest

from portcast.errors import CodecError, ConnectionClosedError
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


async def test_a_tap_is_shown_what_is_sent() -> None:
    """Each frame once, without what the framing adds; not what was refused, nor anything after it was taken off."""
    async with serving(recording(), write_buffer_bytes=1024) as it:
        device, connection = await it.connected()
        tap = Tapping()
        connection.tap_with(tap)
        connection.push(b"1")
        assert connection.send_nowait(b"2")
        await connection.send(b"3")
        with pytest.raises(CodecError):
            connection.push(b"a\nb")
        connection.tap_with(None)
        connection.push(b"4")
        assert await device.receive(8) == b"1\n2\n3\n4\n"
        assert tap.frames == [b"1", b"2", b"3"]


class Tapping:
    """A tap that keeps what is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def received(self, frames: list[bytes]) -> None:
        raise AssertionError("nothing came in")

    def refused(self, data: bytes, size: int, detail: str) -> None:
        raise AssertionError("nothing came in")

    def sent(self, frame: bytes) -> None:
        self.frames.append(frame)
