from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import anyio
import pytest

from asgi_fakes import until
from portcast.signals import SIGNALS, SignalDrain

pytestmark = pytest.mark.anyio


class Server:
    """A server that has installed its handler, as uvicorn does."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        self.got.append(number)


class Drain:
    """A drain that ends when told."""

    def __init__(self) -> None:
        self.begun = 0
        self.hurried = 0
        self.over = asyncio.Event()
        self.error: Exception | None = None

    async def drain(self) -> None:
        self.begun += 1
        await self.over.wait()
        if self.error is not None:
            raise self.error

    def hurry(self) -> None:
        self.hurried += 1
        self.over.set()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the signals of the test run as they were."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def server() -> Server:
    server = Server()
    for number in SIGNALS:
        signal.signal(number, server.handle_exit)
    return server


def _raise(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
async def test_the_first_signal_drains_and_is_then_passed_on(server: Server, number: int) -> None:
    """uvicorn would close every WebSocket at once, while devices go on sending."""
    drain = Drain()
    signals = SignalDrain(drain.drain, drain.hurry)
    signals.install()
    _raise(number)
    await until(lambda: drain.begun, "the drain")
    assert server.got == []
    drain.over.set()
    await signals.wait_passed_on()
    assert (server.got, drain.begun, drain.hurried) == ([number], 1, 0)
    signals.restore()


async def test_a_second_signal_goes_through_at_once(server: Server) -> None:
    """Who presses twice does not want to wait; and each signal reaches the server once."""
    drain = Drain()
    signals = SignalDrain(drain.drain, drain.hurry)
    signals.install()
    _raise(signal.SIGTERM)
    await until(lambda: drain.begun, "the drain")
    _raise(signal.SIGINT)
    await until(lambda: server.got, "the second signal")
    assert server.got[0] == signal.SIGINT
    await until(lambda: drain.hurried, "the hurry")
    await signals.wait_passed_on()
    assert (server.got, drain.begun) == ([signal.SIGINT, signal.SIGTERM], 1)
    signals.restore()


async def test_the_same_signal_at_once_is_the_same_stop(server: Server) -> None:
    """A supervisor, a shell and make may each send one; it does not cut the drain short."""
    drain = Drain()
    signals = SignalDrain(drain.drain, drain.hurry)
    signals.install()
    _raise(signal.SIGTERM)
    _raise(signal.SIGTERM)
    await until(lambda: drain.begun, "the drain")
    drain.over.set()
    await signals.wait_passed_on()
    assert (server.got, drain.hurried) == ([signal.SIGTERM], 0)
    signals.restore()


async def test_a_drain_that_fails_is_logged_and_the_server_stops(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that never hears of the signal would never stop."""
    drain = Drain()
    drain.error = RuntimeError("broken")
    drain.over.set()
    signals = SignalDrain(drain.drain, drain.hurry)
    signals.install()
    with caplog.at_level(logging.ERROR, "portcast"):
        _raise(signal.SIGTERM)
        await until(lambda: server.got, "the signal")
    assert [record.message for record in caplog.records] == ["drain failed"]
    signals.restore()


async def test_a_drain_that_is_cancelled_stops_the_server_too(server: Server) -> None:
    """As when a second signal makes an end of it."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    signals = SignalDrain(cancelled, lambda: None)
    signals.install()
    _raise(signal.SIGTERM)
    await until(lambda: server.got, "the signal")
    signals.restore()


async def test_the_handlers_are_put_back(server: Server) -> None:
    """A signal after the gateway's end is the server's alone."""
    drain = Drain()
    signals = SignalDrain(drain.drain, drain.hurry)
    signals.install()
    assert all(signal.getsignal(number) != server.handle_exit for number in SIGNALS)
    signals.restore()
    assert all(signal.getsignal(number) == server.handle_exit for number in SIGNALS)
    _raise(signal.SIGTERM)
    await until(lambda: server.got, "the signal")
    assert drain.begun == 0


async def test_a_handler_that_came_later_is_left_in_place(server: Server) -> None:
    """Whoever chained after us keeps its handler; and ours, which it may call, passes on."""
    later: list[int] = []
    signals = SignalDrain(Drain().drain, lambda: None)
    signals.install()
    ours = signal.getsignal(signal.SIGTERM)
    assert callable(ours)

    def handle(number: int, frame: FrameType | None) -> None:
        later.append(number)
        ours(number, frame)

    signal.signal(signal.SIGTERM, handle)
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) is handle
    _raise(signal.SIGTERM)
    await until(lambda: later, "the signal")
    assert server.got == [signal.SIGTERM]


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(signal.SIG_DFL, id="default"),
        pytest.param(signal.SIG_IGN, id="ignored"),
        pytest.param(signal.default_int_handler, id="Python's own"),
    ],
)
async def test_without_a_server_nothing_is_chained(handler: signal.Handlers) -> None:
    """After the drain nobody would stop, so the signal keeps its meaning."""
    for number in SIGNALS:
        signal.signal(number, handler)
    signals = SignalDrain(Drain().drain, lambda: None)
    signals.install()
    assert all(signal.getsignal(number) == handler for number in SIGNALS)
    signals.restore()
    assert all(signal.getsignal(number) == handler for number in SIGNALS)


async def test_a_server_that_drains_by_itself_is_left_alone() -> None:
    """Ours would drain first and hear of the signal afterwards."""

    class Draining(Server):
        drains_gateway = True

    server = Draining()
    for number in SIGNALS:
        signal.signal(number, server.handle_exit)
    SignalDrain(Drain().drain, lambda: None).install()
    assert all(signal.getsignal(number) == server.handle_exit for number in SIGNALS)


async def test_any_callable_is_a_handler() -> None:
    """asyncio's runner installs a `functools.partial`."""
    got: list[int] = []
    handler = functools.partial(lambda kept, number, frame: kept.append(number), got)
    signal.signal(signal.SIGINT, handler)
    drain = Drain()
    drain.over.set()
    signals = SignalDrain(drain.drain, drain.hurry)
    signals.install()
    _raise(signal.SIGINT)
    await until(lambda: got, "the signal")
    signals.restore()
    assert signal.getsignal(signal.SIGINT) is handler


async def test_other_threads_are_left_alone(server: Server) -> None:
    """Only the main thread may install handlers: a gateway in a test client's thread must start all the same."""

    def run() -> None:
        async def main() -> None:
            signals = SignalDrain(Drain().drain, lambda: None)
            signals.install()
            signals.restore()

        asyncio.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    assert all(signal.getsignal(number) == server.handle_exit for number in SIGNALS)


async def test_nothing_to_wait_for_without_a_signal(server: Server) -> None:
    """The usual end: the server stops for another reason."""
    signals = SignalDrain(Drain().drain, lambda: None)
    signals.install()
    signals.restore()
    with anyio.fail_after(1):
        await signals.wait_passed_on()
