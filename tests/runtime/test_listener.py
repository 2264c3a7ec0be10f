from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from portcast.address import Address
from portcast.config import ListenerOptions
from portcast.errors import ListenError
from portcast.events import (
    ConnectionClosed,
    ConnectionOpened,
    ListenerPaused,
    ListenerResumed,
    ListenerStarted,
    ListenerStopped,
)
from portcast.framing import CustomFraming, FrameDecoder
from portcast.runtime import Listener, Registry
from portcast.runtime.listener import ACCEPTS_PER_TICK
from portcast.testing.transport import MemoryTransport
from runtime_kit import Device, Events, eventually, make_listener, recording, serving, turns

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def bare(**options: object) -> AsyncIterator[tuple[Listener, Events]]:
    """A listener that is not bound yet."""
    events = Events()
    registry = Registry(asyncio.get_running_loop(), max_connections=100)
    listener = make_listener(registry, events, recording(), **options)  # type: ignore[arg-type]  # options of a listener
    try:
        yield listener, events
    finally:
        await listener.stop()
        for connection in registry:
            connection.abort("aborted")
        await eventually(lambda: not registry.sockets)
        registry.close()


class TestLife:
    async def test_port_0_lets_the_system_choose(self) -> None:
        """Address and name follow once that is known."""
        async with bare() as (listener, _):
            assert (listener.state, listener.address.port) == ("new", 0)
            listener.bind()
            assert listener.state == "bound"
            assert listener.address.port
            assert listener.name == listener.address.url

    async def test_a_name_of_its_own_stays(self) -> None:
        """A user who named it finds the name in logs and API."""
        async with bare(name="scales") as (listener, events):
            listener.bind()
            listener.start()
            assert listener.name == "scales"
            assert events.of(ListenerStarted) == [
                ListenerStarted(listener.name, listener.address.url, "lines, lf, max 64 KiB", "topic t")
            ]

    async def test_what_connects_before_the_start_waits(self) -> None:
        """The kernel holds it in the backlog; nothing is refused between bind and start."""
        async with bare() as (listener, events):
            listener.bind()
            device = await Device.connect(listener.address)
            await turns(10)
            assert events.all == []
            listener.start()
            await eventually(lambda: events.of(ConnectionOpened))
            device.close()

    async def test_a_failure_to_bind_says_why(self) -> None:
        """See the tests of `portcast.runtime.bind` for all the reasons; nothing was started, so nothing stops."""
        async with serving(recording()) as it, bare(url=it.address) as (listener, events):
            with pytest.raises(ListenError, match=r"in use"):
                listener.bind()
            await listener.stop()
            assert events.all == []

    async def test_stop_closes_the_socket_and_keeps_connections(self) -> None:
        """Whoever connects afterwards is refused; who is connected goes on."""
        async with serving(recording()) as it:
            _, connection = await it.connected()
            await it.listener.stop()
            await it.listener.stop()
            assert it.listener.state == "stopped"
            assert it.events.of(ListenerStopped) == [ListenerStopped(it.listener.name)]
            with pytest.raises(ConnectionRefusedError):
                await Device.connect(it.address)
            assert not connection.is_closing
            it.listener.resume()
            it.listener.suspend()
            assert it.listener.state == "stopped"

    async def test_cancelling_a_stop_closes_the_socket(self) -> None:
        """Nothing stays bound, whatever happens to whoever asked for the stop."""
        async with serving(recording()) as it:
            stopping = asyncio.ensure_future(it.listener.stop())
            await asyncio.sleep(0)
            stopping.cancel()
            await asyncio.wait([stopping])
            with pytest.raises(ConnectionRefusedError):
                await Device.connect(it.address)
            assert len(it.events.of(ListenerStopped)) == 1

    async def test_a_device_that_is_accepted_while_it_stops_is_served_or_refused(self) -> None:
        """Never lost between accept and connection: each accepted socket is told open, and counted."""
        for number in range(20):
            async with serving(recording()) as it:
                devices = [await it.connect() for _ in range(5)]
                await turns(number % 5)
                await it.listener.stop()
                accepted = it.listener.statistics().accepted
                await eventually(lambda it=it, n=accepted: len(it.events.of(ConnectionOpened)) == n)  # type: ignore[misc]
                assert it.registry.sockets == accepted <= len(devices)

    async def test_a_unix_socket_goes_with_its_listener(self) -> None:
        """A stale file is replaced, a live one refused, and the file is gone after the stop."""
        with TemporaryDirectory(prefix="pc") as folder:
            path = Path(folder) / "s"
            address = Address("unix", path=str(path))
            with socket.socket(socket.AF_UNIX) as killed:
                killed.bind(str(path))
            async with serving(recording(), url=address) as it:
                assert it.listener.name == address.url
                await it.connected()
                async with bare(url=address) as (second, _):
                    with pytest.raises(ListenError, match="in use"):
                        second.bind()
                # The look whether somebody listens is a connection, too: one that ends at once.
                await eventually(lambda: it.listener.statistics().accepted == 2 and len(it.registry) == 1)
                await it.connected()
            assert not path.exists()


class TestBudget:
    async def test_accepting_pauses_at_the_budget_of_the_process_and_goes_on(self) -> None:
        """Who is too many waits in the backlog, and comes in when somebody leaves."""
        async with serving(recording(), max_connections=3) as it:
            devices = [await it.connect() for _ in range(5)]
            await eventually(lambda: it.listener.state == "paused")
            await turns(20)
            assert (len(it.registry), it.registry.sockets) == (3, 3)
            (paused,) = it.events.of(ListenerPaused)
            assert (paused.reason, paused.detail) == ("max_connections", "3 connections in the process")
            devices[0].close()
            await eventually(lambda: it.listener.statistics().accepted == 4)
            assert it.events.of(ListenerResumed)
            devices[1].close()
            await eventually(lambda: it.listener.statistics().accepted == 5)

    async def test_accepting_pauses_at_the_listeners_own_limit(self) -> None:
        """Counted until the last frame of a connection is handled."""
        async with serving(recording(is_lazy=True)) as it:
            it.listener.options = ListenerOptions(max_connections=2)
            devices = [await it.connect() for _ in range(4)]
            await eventually(lambda: it.listener.state == "paused")
            assert it.listener.statistics().connections == 2
            devices[0].reset()
            await eventually(lambda: it.registry.sockets == 1)
            await turns(10)
            assert it.listener.statistics().connections == 2, "its consumer is not done"
            first = next(iter(it.registry))
            first.consumer_done()
            await eventually(lambda: it.listener.statistics().accepted == 3)
            for connection in it.registry:
                connection.consumer_done()

    async def test_a_storm_is_accepted_in_portions(self) -> None:
        """Those already connected get a turn in between."""
        async with serving(recording()) as it:
            it.listener.suspend()
            await turns()
            devices = [await it.connect() for _ in range(ACCEPTS_PER_TICK + 30)]
            it.listener.resume()
            most = 0
            while it.listener.statistics().accepted < len(devices):
                before = it.listener.statistics().accepted
                await asyncio.sleep(0)
                most = max(most, it.listener.statistics().accepted - before)
            assert 1 < most <= ACCEPTS_PER_TICK
            await eventually(lambda: len(it.registry) == len(devices))


class TestSuspension:
    async def test_nobody_is_accepted_while_suspended(self) -> None:
        """From the moment of the call; connections that are open stay, and who waits comes in afterwards."""
        async with serving(recording()) as it:
            _, connection = await it.connected()
            it.listener.suspend()
            it.listener.suspend()
            await it.connect()
            await turns(20)
            assert it.listener.state == "suspended"
            assert it.listener.statistics().accepted == 1
            assert not connection.is_closing
            it.listener.resume()
            it.listener.resume()
            await eventually(lambda: it.listener.statistics().accepted == 2)
            assert it.events.of(ListenerPaused) == [ListenerPaused(it.listener.name, "suspended", "by the application")]
            assert it.events.of(ListenerResumed) == [ListenerResumed(it.listener.name)]

    async def test_room_does_not_end_a_suspension(self) -> None:
        """Only `resume` does; then it looks for room itself."""
        async with serving(recording(), max_connections=1) as it:
            first = await it.connect()
            await it.connect()
            await eventually(lambda: it.listener.state == "paused")
            it.listener.suspend()
            first.close()
            await eventually(lambda: not it.registry.sockets)
            await turns(10)
            assert it.listener.statistics().accepted == 1
            it.listener.resume()
            await eventually(lambda: it.listener.statistics().accepted == 2)


class TestStatistics:
    async def test_open_connections_count_and_closed_ones_stay(self) -> None:
        """Totals never go back."""
        async with serving(recording()) as it:
            first, connection = await it.connected()
            second, _ = await it.connected()
            await first.send(b"1\n2\n")
            await second.send(b"3\n")
            await connection.send(b"answer")
            await eventually(lambda: it.listener.statistics().frames == 3)
            now = it.listener.statistics()
            assert (now.connections, now.accepted, now.bytes_received, now.bytes_sent) == (2, 2, 6, 7)
            await first.receive(7)
            first.reset()
            second.end()
            await it.until_done()
            after = it.listener.statistics()
            assert (after.connections, after.accepted, after.frames) == (0, 2, 3)
            assert (after.bytes_received, after.bytes_sent, after.errors) == (6, 7, {"reset": 1})


class TestFaults:
    async def test_a_flood_of_connections_that_are_reset_leaves_nothing(self) -> None:
        """Some hundreds at once, many of them gone before they are accepted."""
        async with serving(recording()) as it:
            for _ in range(300):
                (await it.connect()).reset()
            await it.until_done()
            device, _ = await it.connected()
            assert it.listener.statistics().accepted == 301
            opened = it.events.of(ConnectionOpened)
            assert len(opened) - 1 == len(it.events.of(ConnectionClosed))
            assert it.registry.sockets == 1
            assert device.sock.fileno() > 0

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EBADMSG])
    async def test_accept_may_fail(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """It pauses, tries again by itself and tells of it; another error than a lack counts as a fault."""
        async with serving(recording()) as it:
            fail_to_accept(monkeypatch, number)
            await it.connected()
            assert it.events.of(ListenerPaused) == [
                ListenerPaused(it.listener.name, "descriptors", os.strerror(number))
            ]
            assert it.events.of(ListenerResumed) == [ListenerResumed(it.listener.name)]
            assert it.listener.statistics().errors == ({"accept": 1} if number == errno.EBADMSG else {})

    @pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EAGAIN, errno.EINTR])
    async def test_a_connection_that_was_over_before_it_began_is_no_reason_to_pause(
        self, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next one is accepted at once."""
        async with serving(recording()) as it:
            fail_to_accept(monkeypatch, number)
            await it.connected()
            assert it.events.of(ListenerPaused) == []

    async def test_a_socket_that_closes_does_not_shorten_the_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It would spin on a machine that is out of descriptors and has many short connections."""
        async with serving(recording()) as it:
            first, _ = await it.connected()
            fail_to_accept(monkeypatch, errno.EMFILE)
            await it.connect()
            await eventually(lambda: it.listener.state == "paused")
            first.close()
            await eventually(lambda: not it.registry.sockets)
            assert it.listener.state == "paused"
            await eventually(lambda: it.registry.sockets == 1)

    @pytest.mark.parametrize("how", ["stop", "suspend"])
    async def test_the_end_of_a_pause_changes_nothing_afterwards(
        self, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The stop does not wait for the pause to end, and neither stop nor suspension is undone by it."""
        async with serving(recording()) as it:
            fail_to_accept(monkeypatch, errno.EMFILE)
            await it.connect()
            await eventually(lambda: it.listener.state == "paused")
            if how == "stop":
                await it.listener.stop()
            else:
                it.listener.suspend()
            assert it.listener._pause_timer is None
            assert it.events.of(ListenerResumed) == []

    async def test_a_transport_may_come_from_elsewhere(self) -> None:
        """It is a connection like any other, counted and bounded; without room it is refused."""
        async with serving(recording(), max_connections=1) as it:
            transport = MemoryTransport("192.0.2.1:4", lambda: None)
            connection = it.listener.adopt(transport, "192.0.2.1:4")
            transport.set_protocol(connection)
            assert connection.peer == "192.0.2.1:4"
            assert (it.listener.statistics().accepted, it.registry.sockets) == (1, 1)
            with pytest.raises(ConnectionRefusedError, match="accepting, 1 are open"):
                it.listener.adopt(MemoryTransport("", lambda: None), "")
            transport.break_off()
            await it.until_done()
            await it.listener.stop()
            with pytest.raises(ConnectionRefusedError, match="stopped"):
                it.listener.adopt(MemoryTransport("", lambda: None), "")

    async def test_without_a_socket_nothing_is_bound(self) -> None:
        """It accepts all the same, and stops like any other; the address is the declared one."""
        events = Events()
        registry = Registry(asyncio.get_running_loop(), max_connections=10)
        elsewhere = Address("tcp", host="203.0.113.1", port=1)  # not of this machine (RFC 5737)
        listener = make_listener(registry, events, recording(), url=elsewhere, has_socket=False)
        listener.bind()
        listener.start()
        assert (listener.state, listener.name) == ("accepting", "tcp://203.0.113.1:1")
        listener.suspend()
        listener.resume()
        await listener.stop()
        assert [type(one) for one in events.all] == [ListenerStarted, ListenerPaused, ListenerResumed, ListenerStopped]

    async def test_a_framing_that_cannot_begin_costs_that_connection(self) -> None:
        """The listener goes on; the device is told by the end of its connection."""

        class Moody(CustomFraming):
            calls = 0

            def decoder(self) -> FrameDecoder:
                Moody.calls += 1
                if Moody.calls == 1:
                    raise ZeroDivisionError
                return super().decoder()

        async with serving(recording(), framing=Moody()) as it:
            device = await it.connect()
            assert await device.receive_all() == b""
            await it.connected()
            assert it.listener.statistics().errors == {"accept": 1}
            assert it.registry.sockets == 1

    async def test_a_socket_that_cannot_become_a_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is closed, counted, and its place in the budget is free again."""
        loop = asyncio.get_running_loop()

        async def fail(self: object, factory: object, sock: socket.socket) -> None:
            raise OSError(errno.ENOTCONN, "gone")

        async with serving(recording()) as it:
            with monkeypatch.context() as patch:
                patch.setattr(loop.__class__, "connect_accepted_socket", fail, raising=True)
                device = await it.connect()
                assert await device.receive_all() == b""
            assert (it.registry.sockets, it.listener.statistics().errors) == (0, {"accept": 1})
            await it.connected()


def fail_to_accept(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make the next `socket.accept` fail with this error, once."""
    original = socket.socket.accept
    numbers = [number]

    def accept(self: socket.socket) -> object:
        if numbers:
            raise OSError(numbers[0], os.strerror(numbers.pop()))
        return original(self)

    monkeypatch.setattr(socket.socket, "accept", accept)


SURVIVAL = """
    import asyncio, resource, socket, sys

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    from portcast.events import ListenerPaused
    from runtime_kit import Device, eventually, recording, serving

    async def main():
        async with serving(recording()) as it:
            hoard = []
            try:
                while True:
                    hoard.append(socket.socket())
            except OSError:
                pass
            hoard.pop().close()
            device = await it.connect()
            await eventually(lambda: it.listener.state == "paused")
            assert it.events.of(ListenerPaused)[-1].reason == "descriptors"
            assert it.listener.statistics().accepted == 0
            for sock in hoard:
                sock.close()
            await device.send(b"1\\n")
            await eventually(lambda: it.listener.statistics().frames == 1)
        print("survived")

    loop = None
    if sys.argv[1] == "uvloop":
        import uvloop
        loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
"""


@pytest.mark.row(30)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_survives_the_lack_of_descriptors(loop: str) -> None:
    """EMFILE pauses accepting, and it goes on by itself. In a process of its own: this one needs its descriptors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SURVIVAL), loop],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("survived\n", "", 0)
