"""A device in memory takes the real way: framing, codec, dependencies, handler, backpressure, deadlines."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from portcast import Connection, Gateway, LengthFieldFraming, LineFraming
from portcast.errors import ConfigurationError, ConnectionClosedError
from portcast.testing import ManualClock, Subscription, TestDevice, collect, every_split, in_memory

pytestmark = pytest.mark.anyio

URL = "tcp://127.0.0.1:8001"


class Reading(BaseModel):
    sensor: str
    celsius: float


def get_unit() -> str:
    return "C"


def make_app() -> FastAPI:
    """Readings are published and acknowledged."""
    gateway = Gateway()

    @gateway.listen(URL)
    async def on_reading(reading: Reading, connection: Connection, unit: Annotated[str, Depends(get_unit)]) -> None:
        if reading.celsius < -273:
            raise ValueError("too cold")
        await gateway.publish(f"sensors/{reading.sensor}", {"value": reading.celsius, "unit": unit})
        await connection.send(b"OK")

    app = FastAPI()
    app.include_router(gateway)
    return app


GOOD = b'{"sensor": "a", "celsius": 1.5}\n'


def echo(**options: Any) -> Gateway:
    gateway = Gateway()

    @gateway.listen(URL, framing=LineFraming(max_frame=100), **options)
    async def on_line(line: bytes, connection: Connection) -> None:
        await connection.send(line)

    return gateway


class TestSending:
    @pytest.mark.parametrize("split", ["whole", "every-byte", [3, 20], 7], ids=str)
    async def test_the_way_from_bytes_to_publication_and_answer(self, split: Any) -> None:
        """However the bytes are cut: framed, validated, handled, published, answered."""
        app = make_app()
        async with TestDevice(app, split=split) as device, Subscription(app, "sensors/+") as live:
            await device.send(GOOD)
            await device.expect(b"OK\n")
            await live.expect("sensors/a", {"value": 1.5, "unit": "C"})

    async def test_overrides_are_those_of_fastapi(self) -> None:
        """Set on the app before it starts, as FastAPI's documentation does."""
        app = make_app()
        app.dependency_overrides[get_unit] = lambda: "F"
        async with in_memory(app), TestDevice(app) as device, Subscription(app) as live:
            await device.send(GOOD)
            await live.expect("sensors/a", {"value": 1.5, "unit": "F"})

    async def test_pieces_may_be_given(self) -> None:
        """Each is one read; `every_split` makes them."""
        async with in_memory(echo()) as gateway:

            async def scenario(pieces: list[bytes]) -> None:
                async with TestDevice(gateway) as device:
                    await device.send(pieces)
                    await device.expect(b"ab\nc\n")
                    assert device.connection.frames == 2

            assert await every_split(b"ab\nc\n", scenario) == 6

    @pytest.mark.parametrize("kind", [bytearray, memoryview], ids=lambda kind: str(kind.__name__))
    async def test_all_kinds_of_bytes_are_bytes(self, kind: Any) -> None:
        """A test that spoils a frame has it in a bytearray."""
        async with TestDevice(echo()) as device:
            await device.send(kind(b"ab\n"), split="every-byte")
            await device.expect(b"ab\n")

    async def test_frames_are_encoded_by_the_listeners_framing(self) -> None:
        """Both ways."""
        gateway = Gateway()

        @gateway.listen(URL, framing=LengthFieldFraming(bytes_to_strip=2))
        async def on_frame(frame: bytes, connection: Connection) -> None:
            await connection.send(frame[::-1])

        async with TestDevice(gateway) as device:
            await device.send_frame(b"abc")
            await device.expect_frame(b"cba")
            await device.send(b"\0\1x")
            await device.expect(b"\0\1x")

    async def test_it_connects_when_it_sends(self) -> None:
        """Where the app runs anyway, a device needs no block; where it does not, that is said."""
        gateway = echo()
        with pytest.raises(RuntimeError, match="async with TestDevice"):
            await TestDevice(gateway).send(b"x\n")
        async with in_memory(gateway):
            device = TestDevice(gateway)
            with pytest.raises(RuntimeError, match="has not connected"):
                _ = device.connection
            await device.send(b"x\n")
            await device.expect(b"x\n")
        assert device.closed_reason == "drain"

    async def test_an_app_that_does_not_read_is_waited_for(self) -> None:
        """A full inbox stops reading: what was sent waits outside of the app, as with TCP."""
        gateway, may_go = Gateway(), asyncio.Event()

        @gateway.listen(URL, inbox=1)
        async def on_line(line: bytes) -> None:
            await may_go.wait()

        async with TestDevice(gateway, timeout_s=0.05) as device:
            with pytest.raises(AssertionError, match=r"did not read what was sent .* its handler is busy"):
                await device.send(b"1\n2\n3\n4\n", split=[2, 2, 2])
            assert not device.is_read
            with pytest.raises(AssertionError, match="was not handled"):
                await device.handled()
            may_go.set()
            await device.handled()
            assert device.is_read
            assert device.connection.frames == 4

    async def test_nothing_is_sent_after_the_end(self) -> None:
        """As on a socket; the error is the app's own."""
        async with TestDevice(echo()) as device:
            device.connection.close()
            await device.wait_closed()
            with pytest.raises(ConnectionClosedError):
                await device.send(b"x\n")


class TestReceiving:
    async def test_what_came_is_returned_and_then_the_end(self) -> None:
        """As `socket.recv`."""
        async with TestDevice(echo(), timeout_s=0.05) as device:
            await device.send(b"a\nb\n")
            await device.handled()
            assert await device.receive() == b"a\nb\n"
            with pytest.raises(AssertionError, match="sent nothing within"):
                await device.receive()
            device.connection.close()
            assert await device.receive() == b""

    async def test_a_failed_expectation_says_what_came(self) -> None:
        """At once, where what came cannot become what was expected."""
        async with TestDevice(echo(), timeout_s=0.05) as device:
            await device.send(b"abc\n")
            with pytest.raises(AssertionError, match=r"expected b'abd', the app sent b'abc\\n'"):
                await device.expect(b"abd")
            await device.expect(b"ab")
            await device.expect(b"c\n")
            with pytest.raises(AssertionError, match="expected b'more', the app sent nothing"):
                await device.expect(b"more")

    async def test_what_is_known_stands_in_the_message(self) -> None:
        """Otherwise a handler that fails looks like a test that hangs."""
        app = make_app()
        async with TestDevice(app, timeout_s=0.05) as device:
            await device.send(b"no json\n")
            with pytest.raises(AssertionError, match="the codec refused a frame: model: not a valid Reading"):
                await device.expect(b"OK\n")
            await device.send(b'{"sensor": "a", "celsius": -300}\n')
            with pytest.raises(AssertionError, match="the handler raised ValueError: too cold"):
                await device.expect(b"OK\n")
            assert [str(one) for one in device.failures] == ["too cold"]
            assert len(device.rejections) == 1
            device.connection.close()
            with pytest.raises(AssertionError, match="the connection ended: closed"):
                await device.expect(b"OK\n")

    async def test_nothing(self) -> None:
        """Checked after the handlers are through."""
        async with TestDevice(make_app()) as device:
            device.send_nowait(b"no json\n")
            await device.nothing()
            await device.send(GOOD)
            with pytest.raises(AssertionError, match=r"expected nothing, the app sent b'OK\\n'"):
                await device.nothing()

    async def test_a_device_that_does_not_read_makes_the_app_wait(self) -> None:
        """Up to the listener's mark the app writes on; then `send` waits until the device reads again."""
        async with TestDevice(echo(write_buffer_bytes=1024), timeout_s=0.05) as device:
            device.stop_reading()
            await device.send(b"x" * 90 + b"\n", split="whole")
            for _ in range(20):
                device.send_nowait(b"y" * 90 + b"\n")
            with pytest.raises(AssertionError, match="was not handled"):
                await device.handled()
            device.read_again()
            await device.handled()
            assert len(await device.receive()) == 21 * 91

    async def test_a_device_that_never_reads_is_aborted_on_time(self) -> None:
        """The write timeout, on the manual clock."""
        clock = ManualClock()
        gateway = echo(write_buffer_bytes=1024, write_timeout=30)
        async with in_memory(gateway, clock=clock), TestDevice(gateway) as device:
            device.stop_reading()
            for _ in range(20):
                device.send_nowait(b"y" * 90 + b"\n")
            await asyncio.sleep(0.01)
            clock.advance(29)
            assert device.closed is None
            clock.advance(3)
            assert await device.wait_closed() == "write_timeout"


class TestEnding:
    async def test_close(self) -> None:
        """What was sent is handled; the answer goes nowhere."""
        gateway = echo()
        async with in_memory(gateway):
            async with TestDevice(gateway) as device:
                device.send_nowait(b"a\n")
                assert await device.close() == "peer_closed"
                assert device.closed is not None
                assert device.closed.frames == 1
                assert await device.close() == "peer_closed"
                assert device.closed_reason == "peer_closed"
            assert gateway.node.registry.sockets == 0

    async def test_half_close(self) -> None:
        """No more is sent, and the answers still come."""
        async with TestDevice(echo()) as device:
            device.send_nowait(b"a\n")
            device.end()
            await device.expect(b"a\n")
            assert await device.wait_closed() == "peer_closed"

    async def test_reset(self) -> None:
        """The app sees a broken connection."""
        async with TestDevice(echo()) as device:
            assert await device.reset() == "reset"

    @pytest.mark.parametrize(
        ("data", "reason"),
        [(b"x" * 200, "oversize"), (b"x", "peer_closed")],
        ids=["oversize", "nothing"],
    )
    async def test_framing_errors_end_it(self, data: bytes, reason: str) -> None:
        """With the reason that the app counts; a frame that was cut off is one when the device leaves."""
        async with TestDevice(echo()) as device:
            await device.send(data)
            if reason == "oversize":
                assert await device.wait_closed() == "oversize"
            else:
                assert await device.close() == "truncated"

    async def test_a_connection_that_stays_is_an_error(self) -> None:
        """Who waits for its end is told."""
        async with TestDevice(echo(), timeout_s=0.05) as device:
            with pytest.raises(AssertionError, match="did not end within"):
                await device.wait_closed()

    async def test_leaving_does_not_wait_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handler that ignores the end of its device is left behind."""
        monkeypatch.setattr("portcast.testing.device.STOP_S", 0.05)
        monkeypatch.setattr("portcast.testing.lifespan.STOP_S", 0.05)
        gateway = Gateway()

        @gateway.listen(URL)
        async def on_device(connection: Connection) -> None:
            await asyncio.Event().wait()

        async with TestDevice(gateway) as device:
            pass
        assert device.closed_reason is not None

    @pytest.mark.parametrize(
        ("options", "seconds", "reason"),
        [({}, 31.5, "first_frame_timeout"), ({"first_frame_timeout": 0}, 301.5, "idle_timeout")],
        ids=["first frame", "idle"],
    )
    async def test_deadlines_pass_without_sleeping(self, options: Any, seconds: float, reason: str) -> None:
        """Time is the test's."""
        clock = ManualClock()
        gateway = echo(**options)
        async with in_memory(gateway, clock=clock), TestDevice(gateway) as device:
            clock.advance(seconds - 3)
            assert device.closed is None
            clock.advance(3)
            assert await device.wait_closed() == reason


async def test_listeners_are_found_by_what_they_are_called() -> None:
    """Name, declared address, port, place; with several, one must be named."""
    gateway = Gateway()
    gateway.relay("tcp://127.0.0.1:8001", topic="one", name="first")
    gateway.relay("tcp://127.0.0.1:8002", topic="two")
    async with in_memory(gateway), collect(gateway) as found:
        for listener in ("first", "8002", "tcp://127.0.0.1:8002", 0):
            async with TestDevice(gateway, listener=listener) as device:
                await device.send(b"x\n")
        for wrong in (None, "third", 2, "8003"):
            with pytest.raises(ConfigurationError, match="the gateway has 0: first, 1: tcp"):
                await TestDevice(gateway, listener=wrong).send(b"x\n")
    assert [one.topic for one in found] == ["one", "two", "two", "one"]


async def test_peers_can_be_told_apart() -> None:
    """Each device has an address of its own, unless the test gives it one."""
    async with in_memory(echo()) as gateway:
        async with TestDevice(gateway) as one, TestDevice(gateway) as other:
            assert one.connection.peer != other.connection.peer
        async with TestDevice(gateway, peer="[2001:db8::7]:4") as named:
            assert named.connection.peer == "[2001:db8::7]:4"


async def test_a_listener_that_is_full_refuses() -> None:
    """And the device that was refused leaves nothing behind."""
    gateway = echo(max_connections=1)
    async with TestDevice(gateway):
        with pytest.raises(ConnectionRefusedError):
            async with TestDevice(gateway):
                raise AssertionError("it was refused")
        assert len(gateway.node.registry) == 1


async def test_a_per_connection_handler_is_served_too() -> None:
    """It reads frames from the connection and ends it by returning."""
    gateway = Gateway()

    @gateway.listen(URL)
    async def on_device(connection: Connection) -> None:
        await connection.send(b"name?")
        name = await connection.receive()
        await connection.send(b"hello " + name)

    async with TestDevice(gateway) as device:
        await device.expect(b"name?\n")
        await device.send(b"Ann\n")
        await device.expect(b"hello Ann\n")
        assert await device.receive() == b""
        assert await device.wait_closed() == "closed"


async def test_identified_devices_have_presence_and_are_taken_over() -> None:
    """A device that comes back on another connection is one device, as over sockets."""
    gateway = Gateway()

    @gateway.listen(URL, identify=lambda message: message["id"])
    async def on_message(message: dict[str, Any]) -> None:
        await gateway.publish("seen", message["id"])

    async with Subscription(gateway, "seen") as live, TestDevice(gateway) as first, TestDevice(gateway) as second:
        await first.send(b'{"id": "scale-1"}\n')
        await live.expect("seen", "scale-1")
        async with Subscription(gateway, "$devices/scale-1/status", history=1) as status:
            assert b'"online"' in (await status.next()).data
        await second.send(b'{"id": "scale-1"}\n')
        assert await first.wait_closed() == "replaced"
        await live.expect("seen", "scale-1")
        assert second.closed is None
