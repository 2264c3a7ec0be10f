from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime_kit import SMALL, eventually, fill, received, recorder, recording, serving, turns

pytestmark = pytest.mark.anyio


class TestDeadlines:
    """Each deadline is looked at with a time that the test gives: nothing waits for it."""

    @pytest.mark.row(4)
    async def test_the_first_frame_is_absolute(self) -> None:
        """A device that trickles bytes without a frame does not put it off."""
        async with serving(recording(), first_frame_timeout_s=30, idle_timeout_s=300) as it:
            device, connection = await it.connected()
            await device.send(b"half a fra")
            await eventually(lambda: connection.bytes_received)
            connection.check_deadlines(connection.opened_at + 29)
            assert not connection.is_closing
            connection.received_at = connection.opened_at + 30
            connection.check_deadlines(connection.opened_at + 30.1)
            assert await device.receive_all() == b""
            await it.until_done()
            assert it.events.closed.reason == "first_frame_timeout"

    @pytest.mark.row(4)
    async def test_a_frame_is_absolute(self) -> None:
        """After its first frame a device could trickle a byte every few minutes for ever."""
        async with serving(recording(), tick_s=3600, frame_timeout_s=30, idle_timeout_s=300) as it:
            device, connection = await it.connected()
            await device.send(b"1\nhalf a fra")
            await eventually(lambda: connection.bytes_received == 12)
            begun_at = connection.opened_at + 100
            connection.check_deadlines(begun_at)
            for seconds in (10, 20, 30):
                await device.send(b"m")
                await received(connection, 12 + seconds // 10)
                connection.received_at = begun_at + seconds
                connection.check_deadlines(begun_at + seconds)
            assert not connection.is_closing
            connection.check_deadlines(begun_at + 30.1)
            assert await device.receive_all() == b""
            await it.until_done()
            assert it.events.closed.reason == "frame_timeout"
            assert it.events.closed.detail == "13 bytes without the end of their frame"
            assert it.listener.statistics().errors == {"frame_timeout": 1}

    async def test_each_frame_has_the_whole_time(self) -> None:
        """A busy device is always inside some frame; only one that stays inside the same is late."""
        async with serving(recording(), tick_s=3600, frame_timeout_s=30, idle_timeout_s=0) as it:
            device, connection = await it.connected()
            for number in range(1, 6):
                await device.send(b"fram")
                await received(connection, 12 * number - 8)
                connection.check_deadlines(connection.opened_at + 20 * number)
                await device.send(b"e\nfram")
                await received(connection, 12 * number - 2)
                connection.check_deadlines(connection.opened_at + 20 * number + 19)
                await device.send(b"e\n")
                await received(connection, 12 * number)
            assert not connection.is_closing
            connection.check_deadlines(connection.opened_at + 1000)
            assert not connection.is_closing, "nothing is under way"

    async def test_a_frame_does_not_age_while_we_do_not_read(self) -> None:
        """Its end may wait in the kernel."""
        async with serving(recording(pauses=True), tick_s=3600, frame_timeout_s=30, idle_timeout_s=0) as it:
            device, connection = await it.connected()
            await device.send(b"1\nhalf")
            await eventually(lambda: not connection.is_reading)
            connection.resume_reading()
            connection.check_deadlines(connection.opened_at + 1)
            connection.pause_reading()
            connection.check_deadlines(connection.opened_at + 900)
            connection.resume_reading()
            connection.check_deadlines(connection.opened_at + 901)
            connection.check_deadlines(connection.opened_at + 930)
            assert not connection.is_closing
            connection.check_deadlines(connection.opened_at + 932)
            assert connection.close_reason == "frame_timeout"

    @pytest.mark.row(3)
    async def test_idle_counts_from_what_was_received_last(self) -> None:
        """The first frame was in time; silence ends it."""
        async with serving(recording(), first_frame_timeout_s=30, idle_timeout_s=300) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: connection.frames)
            connection.check_deadlines(connection.received_at + 299)
            assert not connection.is_closing
            connection.check_deadlines(connection.received_at + 301)
            assert await device.receive_all() == b""
            await it.until_done()
            assert it.events.closed.reason == "idle_timeout"
            assert it.listener.statistics().errors == {}

    async def test_nobody_is_idle_while_we_do_not_read(self) -> None:
        """Backpressure is our doing; the clock starts again when reading does."""
        async with serving(recording(pauses=True), idle_timeout_s=300) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: not connection.is_reading)
            connection.received_at -= 1000
            connection.check_deadlines(connection.opened_at)
            assert not connection.is_closing
            connection.resume_reading()
            connection.check_deadlines(connection.opened_at + 299)
            assert not connection.is_closing

    async def test_zero_is_no_deadline(self) -> None:
        """Each can be switched off."""
        off: dict[str, Any] = {
            "first_frame_timeout_s": 0,
            "frame_timeout_s": 0,
            "idle_timeout_s": 0,
            "write_timeout_s": 0,
            **SMALL,
        }
        async with serving(recording(), **off) as it:
            _, connection = await it.connected(receive_buffer=4096)
            await fill(it, connection)
            connection.check_deadlines(connection.opened_at + 1e9)
            assert connection.is_open

    @pytest.mark.row(2)
    async def test_a_device_that_does_not_read_is_aborted(self) -> None:
        """A close would wait for it; only an abort ends it on time."""
        async with serving(recording(), write_timeout_s=30, **SMALL) as it:
            _, connection = await it.connected(receive_buffer=4096)
            await fill(it, connection)
            stalled_at = asyncio.get_running_loop().time()
            connection.check_deadlines(stalled_at + 29)
            assert connection.is_open
            connection.check_deadlines(stalled_at + 31)
            assert not connection.is_open
            connection.check_deadlines(stalled_at + 1000)
            await it.until_done()
            assert (it.events.closed.reason, it.events.closed.undelivered) == ("write_timeout", 2)
            assert it.listener.statistics().errors == {"write_timeout": 1}

    async def test_a_close_that_the_device_does_not_take_is_aborted(self) -> None:
        """Counted from the close, however long ago the device has sent something."""
        async with serving(recording(), write_timeout_s=30, write_buffer_bytes=10_000_000) as it:
            _, connection = await it.connected(receive_buffer=4096)
            assert connection.send_nowait(b"x" * 9_000_000), "below the mark, so nothing has stalled yet"
            connection.received_at -= 1000
            closed_at = asyncio.get_running_loop().time()
            connection.close()
            connection.check_deadlines(closed_at + 29)
            await turns()
            assert it.registry.sockets == 1
            connection.check_deadlines(closed_at + 31)
            await it.until_done()
            assert it.events.closed.reason == "closed"

    async def test_progress_while_closing_gives_more_time(self) -> None:
        """A device that reads slowly still gets what was sent before the close."""
        async with serving(recording(), write_timeout_s=30, **SMALL) as it:
            device, connection = await it.connected(receive_buffer=4096)
            await fill(it, connection)
            connection.close()
            connection._waits_for_device_since = 0.0
            connection.resume_writing()
            connection.check_deadlines(asyncio.get_running_loop().time() + 1)
            assert len(await device.receive_all()) == connection.bytes_sent
            await it.until_done()

    async def test_what_is_handled_after_the_device_is_gone_has_no_deadline(self) -> None:
        """A slow handler works off what was received, for as long as it takes."""
        async with serving(recording(is_lazy=True), write_timeout_s=1, idle_timeout_s=1) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: connection.frames)
            device.reset()
            await eventually(lambda: not it.registry.sockets)
            connection.check_deadlines(connection.opened_at + 1000)
            assert recorder(connection).calls == ["ended"]
            connection.consumer_done()

    async def test_the_ticker_looks_by_itself(self) -> None:
        """The whole way once, with a real clock and a tiny deadline."""
        async with serving(recording(), first_frame_timeout_s=0.01) as it:
            device = await it.connect()
            assert await device.receive_all() == b""
            await it.until_done()
            assert it.events.closed.reason == "first_frame_timeout"
