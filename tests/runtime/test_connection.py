from __future__ import annotations

import asyncio
import contextlib
import re
import socket

import pytest

from portcast.address import Address
from portcast.errors import CodecError, ConnectionClosedError
from portcast.events import ConnectionClosed, ConnectionOpened
from portcast.framing import (
    DelimiterFraming,
    FixedLengthFraming,
    FrameDecoder,
    Framing,
    LineFraming,
    RawFraming,
)
from runtime_kit import SMALL, Device, Recorder, eventually, fill, recorder, recording, serving, turns

pytestmark = pytest.mark.anyio


class TestReceiving:
    async def test_frames_reach_the_consumer(self) -> None:
        """Whole and in order, however the packets lie; counters and times follow."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            opened_at = connection.opened_at
            await device.send(b"one\ntw")
            await eventually(lambda: recorder(connection).frames == [b"one"])
            await device.send(b"o\nthree\n")
            await eventually(lambda: recorder(connection).frames == [b"one", b"two", b"three"])
            assert (connection.frames, connection.bytes_received) == (3, 14)
            assert connection.received_at >= opened_at

    @pytest.mark.row(8)
    async def test_a_character_that_is_split_over_packets_arrives_whole(self) -> None:
        """The tutorial's bug: decoding what a read brought instead of what a frame holds."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            device.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in "grüße 漢字\n".encode():
                await device.send(bytes([byte]))
                await turns(2)
            await eventually(lambda: recorder(connection).frames == ["grüße 漢字".encode()])

    async def test_names_itself(self) -> None:
        """Listener, peer and an id that no other connection has."""
        async with serving(recording(), name="scales") as it:
            device, first = await it.connected()
            _, second = await it.connected()
            host, port = device.sock.getsockname()
            assert (first.listener, first.peer) == ("scales", f"{host}:{port}")
            assert re.fullmatch(r"[0-9a-f]{12}", first.id)
            assert first.id != second.id
            (opened, _) = it.events.of(ConnectionOpened)
            assert opened == ConnectionOpened(first.id, it.listener.name, first.peer)

    async def test_has_a_place_for_the_applications_values(self) -> None:
        """One dictionary per connection, made when it is asked for."""
        async with serving(recording()) as it:
            _, first = await it.connected()
            _, second = await it.connected()
            first.state["key"] = 1
            assert (first.state, second.state) == ({"key": 1}, {})

    async def test_a_tap_is_shown_what_comes(self) -> None:
        """From the moment it is there, another takes its place, and none is left when it is taken off."""

        class Tap:
            def __init__(self) -> None:
                self.frames: list[bytes] = []

            def received(self, frames: list[bytes]) -> None:
                self.frames += frames

            def refused(self, data: bytes, size: int, detail: str) -> None:
                raise AssertionError(detail)

            def sent(self, frame: bytes) -> None:
                raise AssertionError("nothing is sent")

        first, second = Tap(), Tap()
        async with serving(recording(), idle_timeout_s=7) as it:
            device, connection = await it.connected()
            own = connection._decoder
            taps: list[Tap | None] = [None, first, second, None]
            for number, tap in enumerate(taps):
                connection.tap_with(tap, 100)
                await device.send(b"%d\n" % number)
                await eventually(lambda number=number: connection.frames == number + 1)  # type: ignore[misc]  # bound now
            assert (first.frames, second.frames) == ([b"1"], [b"2"])
            assert connection._decoder is own
            assert recorder(connection).frames == [b"0", b"1", b"2", b"3"]
            assert connection.options.idle_timeout_s == 7

    async def test_a_consumer_may_stop_the_reading(self) -> None:
        """TCP slows the device; nothing is lost when reading goes on."""
        async with serving(recording(pauses=True)) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: not connection.is_reading)
            await device.send(b"2\n")
            await turns(20)
            assert recorder(connection).frames == [b"1"]
            connection.resume_reading()
            connection.resume_reading()
            await eventually(lambda: recorder(connection).frames == [b"1", b"2"])

    async def test_frames_are_read_one_by_one_or_in_a_loop(self) -> None:
        """Both ask the consumer; the loop ends where `receive` raises."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            await device.send(b"1\n2\n3\n")
            await eventually(lambda: connection.frames == 3)
            assert not connection.is_busy
            assert await connection.receive() == b"1"
            assert [frame async for frame in connection] == [b"2", b"3"]
            with pytest.raises(ConnectionClosedError):
                await connection.receive()


class TestEndOfStream:
    async def test_an_orderly_end(self) -> None:
        """Whoever ends its stream after whole frames has done nothing wrong."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            device.end()
            assert await device.receive_all() == b""
            await it.until_done()
            closed = it.events.closed
            assert (closed.reason, closed.detail, closed.frames, closed.bytes_received) == ("peer_closed", "", 1, 2)
            assert (closed.connection_id, closed.peer) == (connection.id, connection.peer)
            assert closed.seconds >= 0
            assert it.listener.statistics().errors == {}

    async def test_a_frame_that_is_cut_is_reported(self) -> None:
        """The frames before it are delivered, what is left of it is not."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            consumer = recorder(connection)
            await device.send(b"whole\ncut")
            device.end()
            await device.receive_all()
            await it.until_done()
            assert consumer.frames == [b"whole"]
            assert it.events.closed.reason == "truncated"
            assert "beginning b'cut'" in it.events.closed.detail
            assert it.listener.statistics().errors == {"truncated": 1}

    async def test_what_only_the_end_completes_is_delivered(self) -> None:
        """Some framings take the end of the stream for the end of a frame."""
        async with serving(recording(), framing=LineFraming(keep_last=True)) as it:
            device, connection = await it.connected()
            consumer = recorder(connection)
            await device.send(b"1\n2")
            device.end()
            await device.receive_all()
            await it.until_done()
            assert (consumer.frames, it.events.closed.reason) == ([b"1", b"2"], "peer_closed")

    async def test_a_half_closed_device_gets_its_answers(self) -> None:
        """The socket stays writable until what was received is handled (RFC 9293 §3.6)."""
        async with serving(recording(is_lazy=True)) as it:
            device, connection = await it.connected()
            await device.send(b"question\n")
            device.end()
            await eventually(lambda: connection.is_closing)
            assert connection.is_open
            await connection.send(b"answer")
            connection.consumer_done()
            assert await device.receive_all() == b"answer\n"
            assert not connection.is_open
            await it.until_done()
            assert (it.events.closed.reason, it.events.closed.bytes_sent) == ("peer_closed", 7)

    async def test_a_reset(self) -> None:
        """The network or the device broke it: a fault, without a traceback and without a detail."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: connection.frames)
            device.reset()
            await it.until_done()
            assert (it.events.closed.reason, it.events.closed.detail) == ("reset", "")
            assert it.listener.statistics().errors == {"reset": 1}

    async def test_what_was_received_before_a_reset_is_still_handled(self) -> None:
        """The connection is known until its consumer is done, though its socket is gone."""
        async with serving(recording(is_lazy=True)) as it:
            device, connection = await it.connected()
            await device.send(b"1\n")
            await eventually(lambda: connection.frames)
            device.reset()
            await eventually(lambda: not it.registry.sockets)
            assert recorder(connection).calls == ["ended"]
            assert len(it.registry) == 1
            assert not connection.is_open
            assert it.events.of(ConnectionClosed) == []
            connection.consumer_done()
            assert it.events.closed.reason == "reset"

    async def test_an_unusual_break_is_explained(self) -> None:
        """ETIMEDOUT, EHOSTUNREACH: the network's reason is kept."""
        async with serving(recording()) as it:
            _, connection = await it.connected()
            transport = connection._transport
            connection.connection_lost(TimeoutError("timed out"))
            transport.abort()
            assert (it.events.closed.reason, it.events.closed.detail) == ("reset", "TimeoutError: timed out")
            connection._listener.connection_lost = lambda connection: None  # type: ignore[method-assign]  # it was told
            await turns()


class TestFramingErrors:
    async def test_good_frames_before_the_error_are_delivered(self) -> None:
        """Also those of the same read; then the device is told by the end of the connection."""
        async with serving(recording(), framing=LineFraming(max_frame=10)) as it:
            device, connection = await it.connected()
            consumer = recorder(connection)
            await device.send(b"1\n2\n" + b"x" * 100)
            await device.receive_all()
            await it.until_done()
            assert consumer.frames == [b"1", b"2"]
            closed = it.events.closed
            assert (closed.reason, closed.frames, closed.undelivered) == ("oversize", 2, 0)
            assert "expected the end of a line" in closed.detail
            assert it.listener.statistics().errors == {"oversize": 1}

    @pytest.mark.row(6)
    async def test_memory_stays_bounded_whatever_the_device_sends(self) -> None:
        """Nothing is read after the error, so megabytes without a delimiter cost no more than a frame."""
        async with serving(recording(is_lazy=True), framing=LineFraming(max_frame=1000)) as it:
            device, connection = await it.connected()
            device.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)

            async def flood() -> None:
                while True:
                    await device.send(b"x" * 65_536)

            sending = asyncio.ensure_future(flood())
            await eventually(lambda: connection.is_closing)
            received = connection.bytes_received
            await turns(50)
            assert not connection.is_reading
            connection.resume_reading()
            assert not connection.is_reading
            assert connection.bytes_received == received <= 2**18
            assert connection._decoder.buffered <= 1000
            sending.cancel()
            connection.consumer_done()
            await it.until_done()

    async def test_what_comes_after_the_error_is_ignored(self) -> None:
        """A read that was under way on the loop changes nothing."""
        async with serving(recording(is_lazy=True), framing=LineFraming(max_frame=10)) as it:
            device, connection = await it.connected()
            await device.send(b"x" * 100)
            await eventually(lambda: connection.is_closing)
            connection.data_received(b"1\n")
            assert connection.eof_received()
            assert (recorder(connection).frames, connection.bytes_received) == ([], 100)
            connection.consumer_done()
            await it.until_done()
            assert it.events.closed.reason == "oversize"


class Broken(LineFraming):
    """A user's framing with a bug."""

    def decoder(self) -> FrameDecoder:
        decoder = super().decoder()

        class Decoder:
            error = None
            skipped_bytes = buffered = 0

            def feed(self, data: bytes) -> list[bytes]:
                if b"!" in data:
                    raise ZeroDivisionError("division by zero")
                return decoder.feed(data)

            def end(self) -> list[bytes]:
                raise KeyError("end")

        return Decoder()


class TestFaultsOfOthers:
    @pytest.mark.parametrize(
        ("data", "detail"),
        [
            pytest.param(b"!", "the framing raised ZeroDivisionError: division by zero", id="feed"),
            pytest.param(b"", "the framing raised KeyError: 'end'", id="end"),
        ],
    )
    async def test_a_decoder_that_raises_ends_its_connection_only(self, data: bytes, detail: str) -> None:
        """An exception never leaves a protocol callback: both loops would write a traceback."""
        async with serving(recording(), framing=Broken()) as it:
            other, other_connection = await it.connected()
            device, _ = await it.connected()
            await device.send(b"1\n" + data)
            device.end()
            await device.receive_all()
            await eventually(lambda: it.events.of(ConnectionClosed))
            assert (it.events.closed.reason, it.events.closed.detail) == ("malformed", detail)
            await other.send(b"fine\n")
            await eventually(lambda: recorder(other_connection).frames == [b"fine"])

    async def test_a_consumer_that_raises_ends_its_connection_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a relay whose broker fails; its frames count as lost, as do those that waited (three, says the fake)."""

        def fail(self: Recorder, frames: list[bytes]) -> bool:
            raise OSError("broker away")

        monkeypatch.setattr(Recorder, "frames_received", fail)
        async with serving(recording()) as it:
            device, _ = await it.connected()
            await device.send(b"1\n2\n")
            await device.receive_all()
            await it.until_done()
            closed = it.events.closed
            assert (closed.reason, closed.detail, closed.undelivered) == (
                "handler_failed",
                "OSError: broker away",
                2 + 3,
            )


class TestBrowsers:
    REQUEST = b"POST / HTTP/1.1\r\nHost: localhost:8001\r\nContent-Type: text/plain\r\n\r\nforged\n"

    @pytest.mark.parametrize(
        ("framing", "step"),
        [
            pytest.param(LineFraming(), 1000, id="lines"),
            pytest.param(LineFraming(), 1, id="lines, byte by byte"),
            pytest.param(DelimiterFraming((b";",)), 1000, id="delimiter"),
            pytest.param(FixedLengthFraming(4), 1000, id="fixed"),
            pytest.param(RawFraming(), 1000, id="raw"),
        ],
    )
    async def test_a_request_publishes_nothing(self, framing: Framing, step: int) -> None:
        """Any web page can make a browser send one, with lines of its choice in it."""
        async with serving(recording(), framing=framing) as it:
            device, connection = await it.connected()
            consumer = recorder(connection)
            device.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start in range(0, len(self.REQUEST), step):
                with contextlib.suppress(OSError):
                    await device.send(self.REQUEST[start : start + step])
                await turns(2)
            await eventually(lambda: it.events.of(ConnectionClosed))
            closed = it.events.closed
            assert (closed.reason, closed.frames, closed.undelivered) == ("http_request", 0, 0)
            assert "allow_http=true" in closed.detail
            assert consumer.frames == []
            assert it.listener.statistics().errors == {"http_request": 1}

    async def test_it_may_be_allowed(self) -> None:
        """For devices that speak it."""
        async with serving(recording(), allow_http=True) as it:
            device, connection = await it.connected()
            await device.send(self.REQUEST)
            await eventually(lambda: recorder(connection).frames[-1:] == [b"forged"])

    async def test_only_the_beginning_counts(self) -> None:
        """A log that is sent line by line may hold one later."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            await device.send(b"log\n" + self.REQUEST)
            await device.send(self.REQUEST)
            await eventually(lambda: recorder(connection).frames.count(b"forged") == 2)


class TestSending:
    async def test_frames_are_encoded_by_the_listeners_framing(self) -> None:
        """What goes back to the device has the framing of what it sends."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            assert connection.send_nowait(b"1")
            await connection.send(b"2")
            assert await device.receive(4) == b"1\n2\n"
            assert connection.bytes_sent == 4

    async def test_a_frame_that_cannot_be_carried(self) -> None:
        """The caller is told, nothing is sent, the connection goes on."""
        async with serving(recording(), framing=FixedLengthFraming(size=4)) as it:
            device, connection = await it.connected()
            with pytest.raises(CodecError):
                connection.send_nowait(b"too long")
            with pytest.raises(CodecError):
                await connection.send(b"too long")
            await connection.send(b"fits")
            assert await device.receive(4) == b"fits"

    async def test_send_waits_while_the_device_does_not_keep_up(self) -> None:
        """`send_nowait` says so; `send` goes on when the device reads; not a byte is lost."""
        async with serving(recording(), **SMALL) as it:
            device, connection = await it.connected(receive_buffer=4096)
            await fill(it, connection)
            sent = connection.bytes_sent
            sending = [asyncio.ensure_future(connection.send(b"last")) for _ in range(3)]
            await turns(20)
            assert not any(task.done() for task in sending)
            assert connection.bytes_sent == sent
            data = await device.receive(sent + 15)
            await asyncio.gather(*sending)
            assert data.endswith(b"x\nlast\nlast\nlast\n")
            assert connection.send_nowait(b"1")

    async def test_cancelling_a_send_that_waits_sends_nothing(self) -> None:
        """And leaves the others their turn."""
        async with serving(recording(), **SMALL) as it:
            device, connection = await it.connected(receive_buffer=4096)
            await fill(it, connection)
            sent = connection.bytes_sent
            first, second = (asyncio.ensure_future(connection.send(text)) for text in (b"first", b"second"))
            await turns()
            first.cancel()
            await device.receive(sent)
            await second
            assert await device.receive(7) == b"second\n"

    @pytest.mark.parametrize("how", ["device", "close", "abort"])
    async def test_a_send_that_waits_learns_of_the_end(self, how: str) -> None:
        """Whoever ends the connection; nobody waits for a device that is gone."""
        async with serving(recording(is_lazy=True), **SMALL) as it:
            device, connection = await it.connected(receive_buffer=4096)
            await fill(it, connection)
            sending = asyncio.ensure_future(connection.send(b"last"))
            await turns()
            if how == "device":
                device.reset()
            elif how == "close":
                connection.close()
            else:
                connection.abort("aborted")
            with pytest.raises(ConnectionClosedError) as caught:
                await sending
            assert caught.value.reason == {"device": "reset", "close": "closed", "abort": "aborted"}[how]
            connection.abort("aborted")
            connection.consumer_done()
            await it.until_done()

    async def test_nothing_can_be_sent_after_the_end(self) -> None:
        """The error names the connection and why it ended."""
        async with serving(recording(is_lazy=True)) as it:
            device, connection = await it.connected()
            device.reset()
            await eventually(lambda: not it.registry.sockets)
            with pytest.raises(ConnectionClosedError, match=f"{connection.id} has ended: reset"):
                connection.send_nowait(b"1")
            connection.consumer_done()
            with pytest.raises(ConnectionClosedError):
                await connection.send(b"1")


class TestClosing:
    async def test_close_sends_what_was_sent(self) -> None:
        """The goodbye reaches the device; frames that were not handled are dropped and counted."""
        async with serving(recording()) as it:
            device, connection = await it.connected()
            await connection.send(b"goodbye")
            connection.close()
            connection.close()
            assert not connection.is_open
            assert await device.receive_all() == b"goodbye\n"
            await it.until_done()
            closed = it.events.closed
            assert (closed.reason, closed.undelivered) == ("closed", 3), "three, says the fake consumer"

    @pytest.mark.parametrize(
        ("reason", "calls"),
        [
            ("closed", ["discard", "ended"]),
            ("handler_failed", ["discard", "ended"]),
            ("bad_frames", ["discard", "ended"]),
            ("drain", ["ended"]),
            ("idle_timeout", ["ended"]),
        ],
    )
    async def test_what_waits_is_dropped_only_if_nobody_will_handle_it(self, reason: str, calls: list[str]) -> None:
        """The application asked for the end, or the handler is no more; otherwise what was received is handled."""
        async with serving(recording(is_lazy=True)) as it:
            _, connection = await it.connected()
            connection.end(reason, "detail")  # type: ignore[arg-type]  # the parameter is one of them
            connection.end("reset", "the first reason counts")
            assert recorder(connection).calls == calls
            connection.consumer_done()
            await it.until_done()
            assert (it.events.closed.reason, it.events.closed.detail) == (reason, "detail")

    async def test_abort_ends_now_and_counts_once(self) -> None:
        """Even when several ask for it; the first reason stays."""
        async with serving(recording(is_lazy=True)) as it:
            device, connection = await it.connected()
            connection.abort("write_timeout")
            connection.abort("aborted")
            assert not connection.is_open
            assert await device.receive_all() == b""
            await it.until_done()
            assert recorder(connection).calls == ["abort", "ended"] or recorder(connection).calls == ["abort"]
            closed = it.events.closed
            assert (closed.reason, closed.undelivered) == ("write_timeout", 2), "two, says the fake consumer"

    async def test_abort_after_an_orderly_end(self) -> None:
        """The reason is the one that came first; what waits is lost and counted."""
        async with serving(recording(is_lazy=True)) as it:
            device, connection = await it.connected()
            device.end()
            await eventually(lambda: connection.is_closing)
            connection.abort("aborted")
            await it.until_done()
            assert (it.events.closed.reason, it.events.closed.undelivered) == ("peer_closed", 2)

    async def test_abandon_goes_on_without_the_handler(self) -> None:
        """The consumer reports it, the connection ends."""
        async with serving(recording(is_lazy=True)) as it:
            _, connection = await it.connected()
            connection._transport.abort()
            await eventually(lambda: not it.registry.sockets)
            assert not connection.is_handled
            connection.abandon()
            assert connection.is_handled
            assert recorder(connection).calls == ["ended", "abandon"]
            assert len(it.registry) == 0

    async def test_closed_is_told_exactly_once(self) -> None:
        """However many ends meet: the device's, the application's, the stop's."""
        async with serving(recording(is_lazy=True)) as it:
            for number in range(30):
                device, connection = await it.connected()
                steps = [device.reset, connection.close, lambda: connection.abort("aborted"), connection.consumer_done]  # noqa: B023
                for step in (*steps[number % 4 :], *steps[: number % 4]):
                    step()
                    if number % 3 == 0:
                        await turns(2)
                connection.consumer_done()
            await it.until_done()
            ids = [event.connection_id for event in it.events.of(ConnectionClosed)]
            assert (len(ids), len(set(ids))) == (30, 30)


class TestUnix:
    async def test_a_unix_socket_is_a_connection_like_any_other(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Its peer has no name."""
        path = str(tmp_path_factory.mktemp("u") / "s")
        async with serving(recording(), url=Address("unix", path=path)) as it:
            device, connection = await it.connected()
            assert isinstance(device, Device)
            assert connection.peer == "unix"
            await device.send(b"1\n")
            await eventually(lambda: recorder(connection).frames == [b"1"])
            await connection.send(b"2")
            assert await device.receive(2) == b"2\n"


class TestRates:
    """Listeners with ``message_rate`` and ``rate_bytes``."""

    async def test_a_device_that_sends_too_much_is_not_read_for_a_while(self) -> None:
        """Nothing is lost: reading goes on when the debt is paid, so TCP slows the device."""
        async with serving(recording(), message_rate=100) as server:
            device, connection = await server.connected()
            await device.send(b"x\n" * 105)
            await eventually(lambda: connection.frames == 105)
            assert not connection.is_reading
            assert connection.throttled == 1
            await device.send(b"y\n")
            await eventually(lambda: connection.frames == 106)

    async def test_bytes_count_without_a_whole_frame(self) -> None:
        """A device cannot pass by its limit with one endless frame."""
        async with serving(recording(), rate_bytes=1000) as server:
            device, connection = await server.connected()
            await device.send(b"x" * 2000)
            await eventually(lambda: not connection.is_reading)
            assert connection.frames == 0

    async def test_a_consumer_that_is_full_keeps_it_so(self) -> None:
        """Reading needs both: the rate allows it, and the consumer has room."""
        async with serving(recording(pauses=True), message_rate=100) as server:
            device, connection = await server.connected()
            await device.send(b"x\n" * 101)
            await eventually(lambda: connection.frames == 101)
            connection._throttle_is_over()
            assert not connection.is_reading
            connection._is_throttled = True
            connection.resume_reading()
            assert not connection.is_reading
            connection._throttle_is_over()
            assert connection.is_reading

    async def test_without_limits_nothing_is_counted(self) -> None:
        """The path of a message pays nothing for a limit that is not there."""
        async with serving(recording()) as server:
            _, connection = await server.connected()
            assert connection.throttle is None
