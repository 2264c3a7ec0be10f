from __future__ import annotations

import asyncio
import sys

import pytest

from portcast.errors import CodecError, ConnectionClosedError
from portcast.events import ConnectionClosed, FrameRejected, HandlerAbandoned, HandlerFailed
from portcast.runtime import Connection
from portcast.runtime.connection_deadlines import REST_S
from portcast.runtime.inbox import YIELD_EVERY
from runtime_kit import Device, FakeHandler, eventually, failures, handling, serving, turns

pytestmark = pytest.mark.anyio


class Gate:
    """A handler that waits in each message until the test lets it go on."""

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self._open = asyncio.Event()

    async def __call__(self, frame: bytes, connection: Connection) -> None:
        self.arrived.append(frame)
        await self._open.wait()

    def open(self) -> None:
        self._open.set()


async def talk(device: Device, *lines: str) -> None:
    await device.send("".join(f"{line}\n" for line in lines).encode())


class TestMessages:
    async def test_in_order_one_at_a_time(self) -> None:
        """Messages of a connection never overlap, though the handler waits in each."""
        running = 0
        most = 0

        async def work(frame: bytes, connection: Connection) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await turns(2)
            running -= 1

        handler = FakeHandler(work)
        async with serving(handling(handler)) as it:
            device = await it.connect()
            await talk(device, *map(str, range(50)))
            await eventually(lambda: len(handler.frames) == 50)
            assert handler.frames == [b"%d" % number for number in range(50)]
            assert most == 1

    async def test_connections_do_not_wait_for_each_other(self) -> None:
        """A handler that is stuck in one connection is nothing to another."""
        gate = Gate()
        handler = FakeHandler(gate)
        async with serving(handling(handler)) as it:
            first, second = await it.connect(), await it.connect()
            await talk(first, "a")
            await eventually(lambda: handler.frames == [b"a"])
            await talk(second, "b")
            await eventually(lambda: handler.frames == [b"a", b"b"])
            gate.open()

    async def test_an_idle_connection_has_no_task(self) -> None:
        """It begins with the first frame; who needs dependencies at connect has one from the start."""
        handler = FakeHandler()
        async with serving(handling(handler)) as it:
            device, _ = await it.connected()
            assert not it.registry.tasks
            await talk(device, "a")
            await eventually(lambda: handler.frames)
            assert len(it.registry.tasks) == 1
            device.end()
            await it.until_done()
            assert not it.registry.tasks
            assert it.events.closed.reason == "peer_closed"

    async def test_an_idle_connection_ends_without_a_task(self) -> None:
        """Nothing was received, so nothing is opened or closed."""
        handler = FakeHandler()
        async with serving(handling(handler)) as it:
            device, _ = await it.connected()
            device.end()
            await it.until_done()
            assert handler.closed_with == []

    async def test_a_silent_connection_has_no_task_either(self) -> None:
        """It rests, and begins again with the next frame; nothing is said of an end."""
        handler = FakeHandler()
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            for number, line in enumerate((b"a", b"b"), 1):
                await talk(device, line.decode())
                await eventually(lambda n=number: len(handler.frames) == n)  # type: ignore[misc]
                assert len(it.registry.tasks) == 1
                connection.check_deadlines(connection.received_at + REST_S + 1)
                await eventually(lambda: not it.registry.tasks)
                assert connection.is_open
            assert handler.frames == [b"a", b"b"]
            device.end()
            await it.until_done()
            assert it.events.closed.reason == "peer_closed"
            assert handler.closed_with == [None, None]

    async def test_frames_that_come_as_it_lies_down_are_handled(self) -> None:
        """Before the task has seen it, and after."""
        handler = FakeHandler()
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            await talk(device, "a")
            await eventually(lambda: handler.frames == [b"a"])
            connection.check_deadlines(connection.received_at + REST_S + 1)
            connection.data_received(b"b\n")
            await eventually(lambda: handler.frames == [b"a", b"b"])
            connection.check_deadlines(connection.received_at + REST_S + 1)
            await asyncio.sleep(0)
            connection.data_received(b"c\n")
            await eventually(lambda: handler.frames == [b"a", b"b", b"c"])
            device.end()
            await it.until_done()

    async def test_a_handler_at_work_does_not_rest(self) -> None:
        """Silence of the device is no reason."""
        gate = Gate()
        async with serving(handling(FakeHandler(gate))) as it:
            device, connection = await it.connected()
            await talk(device, "a")
            await eventually(lambda: gate.arrived)
            connection.check_deadlines(connection.received_at + REST_S + 1)
            await turns()
            assert len(it.registry.tasks) == 1
            gate.open()
            device.end()
            await it.until_done()

    async def test_open_dependencies_keep_the_task(self) -> None:
        """They were opened in it and must be closed in it."""

        async def open_it(connection: Connection) -> None:
            """Stand for a dependency."""

        handler = FakeHandler(on_open=open_it)
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            await talk(device, "a")
            await eventually(lambda: handler.frames)
            connection.check_deadlines(connection.received_at + REST_S + 1)
            await turns()
            assert len(it.registry.tasks) == 1
            device.end()
            await it.until_done()

    async def test_what_was_received_is_handled_after_the_end(self) -> None:
        """The device is gone, its messages are not."""
        gate = Gate()
        handler = FakeHandler(gate)
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            await talk(device, "1", "2", "3")
            await eventually(lambda: connection.frames == 3)
            device.reset()
            await eventually(lambda: not it.registry.sockets)
            assert connection.is_busy
            gate.open()
            await it.until_done()
            assert handler.frames == [b"1", b"2", b"3"]
            assert handler.closed_with == [None]
            assert it.events.closed.undelivered == 0

    async def test_a_handler_may_answer(self) -> None:
        """Also one that half-closed its side."""

        async def work(frame: bytes, connection: Connection) -> None:
            await turns(3)
            await connection.send(frame.upper())

        async with serving(handling(FakeHandler(work))) as it:
            device = await it.connect()
            await talk(device, "a", "b")
            device.end()
            assert await device.receive_all() == b"A\nB\n"

    async def test_a_handler_that_never_suspends_lets_the_others_work(self) -> None:
        """Every so many messages the loop gets a turn."""
        ticks = 0
        seen: list[int] = []

        def tick() -> None:
            nonlocal ticks
            ticks += 1
            if len(seen) < YIELD_EVERY * 4:
                asyncio.get_running_loop().call_soon(tick)

        async def work(frame: bytes, connection: Connection) -> None:
            seen.append(ticks)

        async with serving(handling(FakeHandler(work))) as it:
            device, _ = await it.connected()
            tick()
            await talk(device, *["x"] * (YIELD_EVERY * 4))
            await eventually(lambda: len(seen) == YIELD_EVERY * 4)
            assert len(set(seen)) >= 4


class TestFailures:
    @pytest.mark.row(21)
    async def test_a_handler_that_raises_costs_its_message(self) -> None:
        """It is told once, with the connection; the next message is handled."""

        async def work(frame: bytes, connection: Connection) -> None:
            if frame == b"bad":
                raise LookupError("no such sensor")

        handler = FakeHandler(work)
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            await talk(device, "bad", "good")
            await eventually(lambda: handler.frames == [b"bad", b"good"])
            (failed,) = it.events.of(HandlerFailed)
            assert (failed.connection_id, failed.listener) == (connection.id, it.listener.name)
            assert (failed.handler, str(failed.error)) == ("on_reading", "no such sensor")
            assert not connection.is_closing

    async def test_a_handler_that_exits_costs_its_message(self) -> None:
        """asyncio would let `SystemExit` end the loop, without a drain and with everybody else's messages."""

        async def work(frame: bytes, connection: Connection) -> None:
            if frame == b"bad":
                sys.exit(3)

        handler = FakeHandler(work)
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            await talk(device, "bad", "good")
            await eventually(lambda: handler.frames == [b"bad", b"good"])
            assert failures(it.events) == ["SystemExit: 3"]
            assert not connection.is_closing

    async def test_a_frame_that_the_codec_refuses_costs_that_frame(self) -> None:
        """It is told with its number in a row."""
        async with serving(handling(FakeHandler(decode=refuse_bad), max_bad_frames=3)) as it:
            device, connection = await it.connected()
            await talk(device, "bad", "bad", "good", "bad", "good")
            await eventually(lambda: connection.frames == 5 and not connection.is_busy)
            rejected = it.events.of(FrameRejected)
            assert [one.in_a_row for one in rejected] == [1, 2, 1]
            assert rejected[0].detail == "json: not JSON in a frame beginning b'bad'"
            assert rejected[0].connection_id == connection.id
            assert not connection.is_closing

    async def test_too_many_refused_in_a_row_close(self) -> None:
        """A device that speaks another protocol is told so by the end; what else waited is dropped and counted."""
        handler = FakeHandler(decode=refuse_bad)
        async with serving(handling(handler, max_bad_frames=3)) as it:
            device = await it.connect()
            await talk(device, "bad", "bad", "bad", "bad", "good")
            await device.receive_all()
            await it.until_done()
            assert handler.frames == []
            closed = it.events.closed
            assert (closed.reason, closed.undelivered) == ("bad_frames", 2)
            assert "not JSON" in closed.detail

    async def test_zero_never_closes(self) -> None:
        """The limit can be switched off."""
        async with serving(handling(FakeHandler(decode=refuse_bad), max_bad_frames=0)) as it:
            device, connection = await it.connected()
            await talk(device, *["bad"] * 50)
            await eventually(lambda: len(it.events.of(FrameRejected)) == 50)
            assert not connection.is_closing

    async def test_a_handler_that_fails_breaks_the_row(self) -> None:
        """The codec did take that frame."""

        async def work(frame: bytes, connection: Connection) -> None:
            if frame == b"fails":
                raise LookupError

        async with serving(handling(FakeHandler(work, decode=refuse_bad), max_bad_frames=2)) as it:
            device, connection = await it.connected()
            await talk(device, "bad", "fails", "bad")
            await eventually(lambda: connection.frames == 3 and not connection.is_busy)
            assert [one.in_a_row for one in it.events.of(FrameRejected)] == [1, 1]

    async def test_what_the_handler_cannot_express_is_not_the_devices_fault(self) -> None:
        """A codec error from the handler's own send or publish is a failure of the handler, however often."""

        async def work(frame: bytes, connection: Connection) -> None:
            raise CodecError("json", "NaN cannot be written", frame)

        async with serving(handling(FakeHandler(work), max_bad_frames=1)) as it:
            device, connection = await it.connected()
            await talk(device, "1", "2", "3")
            await eventually(lambda: len(it.events.of(HandlerFailed)) == 3)
            assert it.events.of(FrameRejected) == []
            assert not connection.is_closing

    async def test_a_codec_that_raises_anything_else_costs_that_frame(self) -> None:
        """A codec of the user's own is the user's code: what it raises is told as the handler's failure."""

        def decode(frame: bytes) -> bytes:
            return {b"good": frame}[frame]

        handler = FakeHandler(decode=decode)
        async with serving(handling(handler, max_bad_frames=1)) as it:
            device, connection = await it.connected()
            await talk(device, "bad", "good")
            await eventually(lambda: handler.frames == [b"good"])
            assert failures(it.events) == ["KeyError: b'bad'"]
            assert not connection.is_closing

    async def test_a_cancellation_that_is_not_ours_costs_one_message(self) -> None:
        """A handler that awaits something cancelled elsewhere has failed; nobody told its connection to end."""

        async def work(frame: bytes, connection: Connection) -> None:
            if frame == b"1":
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                future.cancel()
                await future

        handler = FakeHandler(work)
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            await talk(device, "1", "2")
            await eventually(lambda: handler.frames == [b"1", b"2"])
            assert failures(it.events) == ["CancelledError: "]
            assert not connection.is_closing

    async def test_a_dependency_that_fails_at_connect_ends_the_connection(self) -> None:
        """The session is closed all the same and sees the error."""

        async def fail(connection: Connection) -> None:
            raise ConnectionRefusedError("no database")

        handler = FakeHandler(on_open=fail)
        async with serving(handling(handler)) as it:
            device = await it.connect()
            assert await device.receive_all() == b""
            await it.until_done()
            closed = it.events.closed
            assert (closed.reason, closed.detail) == ("handler_failed", "ConnectionRefusedError in on_reading")
            assert failures(it.events) == ["ConnectionRefusedError: no database"]
            assert [type(error) for error in handler.closed_with] == [ConnectionRefusedError]

    async def test_a_dependency_that_fails_at_the_end_is_told(self) -> None:
        """The connection had ended already; its reason stays."""

        async def fail() -> None:
            raise OSError("rollback failed")

        async with serving(handling(FakeHandler(on_close=fail))) as it:
            device = await it.connect()
            await talk(device, "1")
            device.end()
            await it.until_done()
            assert it.events.closed.reason == "peer_closed"
            assert failures(it.events) == ["OSError: rollback failed"]

    async def test_a_session_that_cannot_be_made(self) -> None:
        """Told, and the connection ends: nothing of it leaves the task."""

        class Unmakeable(FakeHandler):
            def session(self, connection: Connection) -> object:  # type: ignore[override]  # it makes none
                raise ZeroDivisionError("no session")

        async with serving(handling(Unmakeable())) as it:
            device = await it.connect()
            await talk(device, "1")
            await device.receive_all()
            await it.until_done()
            assert it.events.closed.reason == "handler_failed"
            assert failures(it.events) == ["ZeroDivisionError: no session"]


def refuse_bad(frame: bytes) -> bytes:
    if frame == b"bad":
        raise CodecError("json", "not JSON", frame)
    return frame


class TestBackpressure:
    async def test_a_full_inbox_stops_the_reading(self) -> None:
        """And it goes on when half of it is free; nothing is lost or reordered."""
        gate = Gate()
        handler = FakeHandler(gate)
        async with serving(handling(handler, limit=8)) as it:
            device, connection = await it.connected()
            await talk(device, *map(str, range(20)))
            await eventually(lambda: not connection.is_reading)
            received = connection.frames
            await talk(device, *map(str, range(20, 40)))
            await turns(20)
            assert connection.frames == received
            gate.open()
            await eventually(lambda: len(handler.frames) == 40)
            assert handler.frames == [b"%d" % number for number in range(40)]
            assert connection.is_reading

    async def test_an_inbox_of_one(self) -> None:
        """The smallest limit works, too."""
        handler = FakeHandler()
        async with serving(handling(handler, limit=1)) as it:
            device = await it.connect()
            for number in range(30):
                await talk(device, str(number))
            await eventually(lambda: len(handler.frames) == 30)


class TestPerConnection:
    async def test_iterates_over_the_frames_until_the_stream_ends(self) -> None:
        """`async for` ends by itself, and the connection with the handler."""
        got: list[bytes] = []

        async def run(connection: Connection) -> None:
            async for frame in connection:
                got.append(frame)  # noqa: PERF401 - each as it comes
            got.append(b"end")

        handler = FakeHandler(run=run)
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            assert len(it.registry.tasks) == 1, "it runs from the start, before any frame"
            assert not connection.is_busy, "and waits without being busy"
            await talk(device, "1", "2")
            await eventually(lambda: got == [b"1", b"2"])
            assert not connection.is_busy
            device.end()
            await it.until_done()
            assert got == [b"1", b"2", b"end"]
            assert it.events.closed.reason == "peer_closed"
            assert handler.closed_with == [None]

    async def test_receive_raises_at_the_end(self) -> None:
        """For those who read frame by frame: all frames first, then the end, each time."""
        ends: list[str] = []

        async def run(connection: Connection) -> None:
            assert await connection.receive() == b"1"
            for _ in range(2):
                with pytest.raises(ConnectionClosedError) as caught:
                    await connection.receive()
                ends.append(caught.value.connection_id)

        async with serving(handling(FakeHandler(run=run))) as it:
            device = await it.connect()
            await talk(device, "1")
            device.end()
            await it.until_done()
            assert len(ends) == 2
            assert failures(it.events) == []

    async def test_returning_closes_the_connection(self) -> None:
        """After what was sent; frames that nobody read are counted."""

        async def run(connection: Connection) -> None:
            assert await connection.receive() == b"1"
            assert connection.is_busy
            await eventually(lambda: connection.frames == 3)
            await connection.send(b"bye")

        async with serving(handling(FakeHandler(run=run))) as it:
            device = await it.connect()
            await talk(device, "1", "2", "3")
            assert await device.receive_all() == b"bye\n"
            await it.until_done()
            assert (it.events.closed.reason, it.events.closed.undelivered) == ("closed", 2)

    async def test_raising_ends_the_connection(self) -> None:
        """Told once, as the reason of the end."""

        async def run(connection: Connection) -> None:
            raise LookupError("gone")

        async with serving(handling(FakeHandler(run=run))) as it:
            device = await it.connect()
            await device.receive_all()
            await it.until_done()
            closed = it.events.closed
            assert (closed.reason, closed.detail) == ("handler_failed", "LookupError in on_reading")
            assert failures(it.events) == ["LookupError: gone"]

    async def test_exiting_ends_the_connection_and_not_the_process(self) -> None:
        """As raising does; told under another name, because a task must not end with `SystemExit`."""

        async def run(connection: Connection) -> None:
            sys.exit("enough")

        async with serving(handling(FakeHandler(run=run))) as it:
            device = await it.connect()
            await device.receive_all()
            await it.until_done()
            assert it.events.closed.reason == "handler_failed"
            assert failures(it.events) == ["RuntimeError: SystemExit: enough"]

    async def test_cancelling_a_receive_loses_no_frame(self) -> None:
        """A handler may wait with a timeout of its own."""
        got: list[bytes] = []
        cancelled = 0

        async def run(connection: Connection) -> None:
            nonlocal cancelled
            for attempt in range(100_000):
                receiving = asyncio.ensure_future(connection.receive())
                await turns(attempt % 4 + 1)
                receiving.cancel()
                try:
                    got.append(await receiving)
                except asyncio.CancelledError:
                    cancelled += 1
                except ConnectionClosedError:
                    return

        async with serving(handling(FakeHandler(run=run))) as it:
            device = await it.connect()
            for number in range(50):
                await talk(device, str(number))
                await turns(number % 7)
            device.end()
            await it.until_done()
            assert got == [b"%d" % number for number in range(50)]
            assert cancelled

    async def test_two_cannot_wait_for_the_next_frame(self) -> None:
        """It would be chance who gets which: the second is told, the first goes on."""
        got: list[object] = []

        async def run(connection: Connection) -> None:
            first = asyncio.ensure_future(connection.receive())
            await turns(2)
            with pytest.raises(RuntimeError, match="another task waits"):
                await connection.receive()
            got.append(await first)

        async with serving(handling(FakeHandler(run=run))) as it:
            device = await it.connect()
            await eventually(lambda: it.registry.tasks)
            await turns(10)
            await talk(device, "1")
            await it.until_done()
            assert (got, failures(it.events)) == ([b"1"], [])

    async def test_a_message_handler_cannot_receive(self) -> None:
        """Its frames are handed to it; the error says what to change."""

        async def work(frame: bytes, connection: Connection) -> None:
            await connection.receive()

        async with serving(handling(FakeHandler(work))) as it:
            device = await it.connect()
            await talk(device, "1")
            await eventually(lambda: it.events.of(HandlerFailed))
            assert "leave out its message parameter" in failures(it.events)[0]


class TestEnding:
    @pytest.mark.parametrize("kind", ["message", "connection"])
    async def test_closing_from_inside_the_handler(self, kind: str) -> None:
        """What is being handled goes on, what waits is dropped and counted, the answer reaches the device."""
        done: list[bytes] = []

        async def work(frame: bytes, connection: Connection) -> None:
            await eventually(lambda: connection.frames == 3)
            await connection.send(b"bye")
            connection.close()
            with pytest.raises(ConnectionClosedError):
                await connection.send(b"too late")
            await turns()
            done.append(frame)

        async def run(connection: Connection) -> None:
            async for frame in connection:
                await work(frame, connection)

        handler = FakeHandler(work) if kind == "message" else FakeHandler(run=run)
        async with serving(handling(handler)) as it:
            device = await it.connect()
            await talk(device, "1", "2", "3")
            assert await device.receive_all() == b"bye\n"
            await it.until_done()
            assert (done, it.events.closed.reason, it.events.closed.undelivered) == ([b"1"], "closed", 2)
            assert failures(it.events) == []

    async def test_abort_cancels_the_handler(self) -> None:
        """Its dependencies see the cancellation; the frame at work and those that wait are counted."""
        gate = Gate()
        handler = FakeHandler(gate)
        async with serving(handling(handler)) as it:
            device, connection = await it.connected()
            await talk(device, "1", "2", "3")
            await eventually(lambda: gate.arrived and connection.frames == 3)
            connection.abort("aborted")
            await it.until_done()
            assert [type(error) for error in handler.closed_with] == [asyncio.CancelledError]
            assert (it.events.closed.reason, it.events.closed.undelivered) == ("aborted", 3)
            assert failures(it.events) == []

    async def test_abort_without_a_task(self) -> None:
        """A connection that never spoke ends at once."""
        async with serving(handling(FakeHandler())) as it:
            _, connection = await it.connected()
            connection.abort("aborted")
            await it.until_done()
            assert (it.events.closed.reason, it.events.closed.undelivered) == ("aborted", 0)

    async def test_a_cancellation_from_elsewhere_ends_the_connection(self) -> None:
        """A handler that cancels its own task is no failure, but nobody is left to handle frames."""

        async def work(frame: bytes, connection: Connection) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await turns()

        async with serving(handling(FakeHandler(work))) as it:
            device = await it.connect()
            await talk(device, "1")
            await device.receive_all()
            await it.until_done()
            assert it.events.closed.reason == "closed"
            assert failures(it.events) == []

    async def test_a_handler_that_swallows_its_cancellation_is_reported(self) -> None:
        """It is left alone, the connection ends without it, exactly once."""
        stop = asyncio.Event()

        async def stubborn(frame: bytes, connection: Connection) -> None:
            while not stop.is_set():
                try:
                    await stop.wait()
                except asyncio.CancelledError:
                    continue

        async with serving(handling(FakeHandler(stubborn))) as it:
            device, connection = await it.connected()
            await talk(device, "1")
            await eventually(lambda: connection.is_busy)
            connection.abort("aborted")
            await turns(10)
            assert len(it.registry) == 1
            connection.abandon()
            assert it.events.of(HandlerAbandoned) == [HandlerAbandoned(connection.id, it.listener.name, "on_reading")]
            assert len(it.registry) == 0
            stop.set()
            await eventually(lambda: not it.registry.tasks)
            assert len(it.events.of(ConnectionClosed)) == 1

    async def test_nobody_is_reported_who_did_stop(self) -> None:
        """A handler that ended, or never began, was not abandoned."""
        async with serving(handling(FakeHandler())) as it:
            _, idle = await it.connected()
            device, ended = await it.connected()
            await talk(device, "1")
            await eventually(lambda: ended.frames)
            consumer = ended._consumer
            ended.abort("aborted")
            await eventually(lambda: ended.is_handled)
            consumer.abandon()
            idle.abandon()
            assert it.events.of(HandlerAbandoned) == []


async def test_dependencies_at_connect_run_before_the_first_frame() -> None:
    """And are closed when the device leaves without having said a word."""
    opened: list[str] = []

    async def on_open(connection: Connection) -> None:
        opened.append(connection.id)

    handler = FakeHandler(on_open=on_open)
    async with serving(handling(handler)) as it:
        device, connection = await it.connected()
        await eventually(lambda: opened == [connection.id])
        device.end()
        await it.until_done()
        assert handler.closed_with == [None]
