"""Our uvicorn runner: one process that serves HTTP, begins the drain with the stop signal and ends when told.

What uvicorn does differently by itself, and why we do not:

* It binds HTTP last, after the lifespan. Here the HTTP socket is bound first, so that an occupied port is found before
  any listener starts; it listens, as in uvicorn, only after the lifespan has started.
* It looks for the signal ten times a second. Here the stop begins with the signal: accepting ends within 0.1 s.
* It closes every WebSocket the moment it stops, while devices go on sending. Here `Gateway.drain` runs before that.
* It waits for ever for a client that does not read. Here the whole stop has one deadline.
* It waits for ever for the rest of a request, and for a client to take its response. Here both have deadlines
  (`portcast.web.http_deadlines`).
* It raises the signal again at the end, so that the status is -15. Here an orderly stop ends with status 0.
* It logs a traceback when the lifespan fails. Here the error is raised to the caller of `serve`.
* It takes everybody, and leaves TLS to the event loop. Here who comes in is limited and TLS is ours
  (`portcast.http_entrance`), and SIGHUP reads certificates anew.

States of the stop: running → draining (first signal) → closing (drain done) → ended. A second signal while it drains,
or the deadline, jumps to ended; once the drain is done everything is delivered, and further signals change nothing.
What is still running at the end, a task that swallows its cancellation or a thread in a blocking call, can only be left
behind: `portcast.process_end` does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import FrameType
from typing import Any, Protocol, cast

import uvicorn

from portcast.config import Address, HttpOptions
from portcast.errors import PortcastError
from portcast.events import Emit
from portcast.hangup import Hangup
from portcast.http_entrance import HttpEntrance
from portcast.http_socket import BACKLOG, bind_http, http_error
from portcast.http_tls import HttpTls, reload_all
from portcast.runtime.limits import most_pending, raise_descriptor_limit
from portcast.web.hosts import HostCheck, HostRule
from portcast.web.http_deadlines import PEERS_FAULTS, HttpDeadlines, http_protocol
from portcast.web.websocket_asgi import MAX_HEAD_BYTES
from portcast.web.websocket_protocol import WebSocketProtocol

Message = MutableMapping[str, Any]
AsgiApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
"""What begins the stop. SIGHUP may be no stop (`portcast.hangup`); ``nohup`` has it ignored, and so do we then."""

ONE_SIGNAL_S = 0.2
"""The same signal again within this time is the same stop: a supervisor, a shell and ``make`` may each send one."""

CLOSING_S = 1.0
"""Least time for uvicorn to close its connections and for the lifespan to end, even when the drain used up its own."""

TICK_S = 0.1
"""Between two ticks of uvicorn: with every tenth it renews the date that responses have."""

LEFT_BEHIND_S = 1.0
"""For tasks to end once they were cancelled, after everything else has stopped."""

_logger = logging.getLogger("portcast")


class Drainable(Protocol):
    """What the runner needs of a gateway."""

    async def drain(self) -> None:
        """Stop in order; called once more while it runs, or afterwards, it waits for the same stop."""
        ...


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains the gateway before it closes anything.

    Attributes:
        stopped_by: the signal that began the stop; None if none did.
        is_forced: a second signal came while it drained.
        entrance: before its protocol; None: everybody comes in, and speaks plainly.
        reload: what SIGHUP asks for; None: it begins the stop.
    """

    _loop: asyncio.AbstractEventLoop

    drains_gateway = True
    """A gateway that finds the signal handler of such a server in place need not install its own."""

    def __init__(
        self, config: uvicorn.Config, gateway: Drainable, drain_timeout_s: float, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self.stopped_by: int | None = None
        self.is_forced = False
        self._stopped_at = 0.0
        self._is_stopping = asyncio.Event()
        self._is_drained = False
        self._gateway = gateway
        self._drain_timeout_s = drain_timeout_s
        self._on_ready = on_ready
        self._on_stop: Callable[[], object] = lambda: None
        self._on_forced: Callable[[], object] = lambda: None
        self.entrance: HttpEntrance | None = None
        self.reload: Callable[[], object] | None = None
        self._hangup = Hangup()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the stop, or end it at once while it drains. Runs as a signal handler."""
        if self.reload is not None and sig == getattr(signal, "SIGHUP", None) and not self._hangup.is_for_terminal:
            self._loop.call_soon_threadsafe(self.reload)
            return
        now = time.monotonic()
        if self.stopped_by is None:
            self.stopped_by, self._stopped_at = sig, now
            self.should_exit = True
            self._on_stop()
        elif not self._is_drained and (sig != self.stopped_by or now - self._stopped_at >= ONE_SIGNAL_S):
            self.is_forced = self.force_exit = True
            self._on_forced()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals from now on; `serve` puts the handlers back, since signals may come until the end."""
        self._take_signals()
        yield

    def _take_signals(self) -> None:
        """Put our handlers in place; does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            for sig in _stop_signals():
                signal.signal(sig, self.handle_exit)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop; a second signal cancels whatever part of that is running."""
        loop = self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        # A signal handler may only leave word with the loop.
        self._on_stop = lambda: loop.call_soon_threadsafe(self._is_stopping.set)
        self._on_forced = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            await super().serve(sockets)
        except asyncio.CancelledError:
            if not self.is_forced:
                raise
            task.uncancel()
            self._abort()

    def _abort(self) -> None:
        """Close what uvicorn's shutdown, cut short, may have left open."""
        for server in getattr(self, "servers", ()):  # uvicorn sets it when it starts
            server.close()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the lifespan, then HTTP."""
        await super().startup(sockets)
        # A gateway chains itself before the handlers it finds, for servers that do not know of it. Here that would
        # make of the second signal, for us, the first.
        self._take_signals()
        if self.entrance is not None:
            self.entrance.watch()
        if not self.should_exit:
            self._on_ready()

    async def main_loop(self) -> None:
        """Tick until told to stop; the signal ends the wait for the next tick."""
        number = 0
        while not await self.on_tick(number):
            number += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._is_stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the gateway, then close what is left, all before the deadline."""
        begun = time.monotonic()
        try:
            # The gateway keeps its own deadline; ours is for a drain that does not.
            async with asyncio.timeout(self._drain_timeout_s + CLOSING_S):
                await self._gateway.drain()
            self._is_drained = True
        except TimeoutError:
            _logger.error("drain did not end in time drain_timeout=%g", self._drain_timeout_s)
        except Exception:
            _logger.exception("drain failed")
        if self.entrance is not None:
            self.entrance.close()
        left = max(CLOSING_S, self._drain_timeout_s - (time.monotonic() - begun))
        self.config.timeout_graceful_shutdown = max(1, int(left))
        try:
            async with asyncio.timeout(left + CLOSING_S):
                await super().shutdown(sockets)
        except TimeoutError:
            _logger.error("the application's lifespan did not end in time")


def _stop_signals() -> list[signal.Signals]:
    return [
        sig for sig in SIGNALS if sig != getattr(signal, "SIGHUP", None) or signal.getsignal(sig) is not signal.SIG_IGN
    ]


class _LifespanWatch:
    """Keeps the exception that uvicorn would only log, and acts when the lifespan has started."""

    def __init__(self, app: AsgiApp, on_started: Callable[[], None]) -> None:
        """Wrap ``app``. What ``on_started`` raises makes its start fail and its lifespan end, as if it were its own."""
        self._app = app
        self._on_started = on_started
        self.error: BaseException | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "lifespan":
            return await self._app(scope, receive, send)

        async def send_watched(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._on_started()
            await send(message)

        try:
            await self._app(scope, receive, send_watched)
        except BaseException as error:
            self.error = error
            raise


def _is_wanted(server: DrainingServer, record: logging.LogRecord) -> bool:
    """Return False for what of uvicorn's log is told elsewhere.

    `serve` raises errors of the start; of a forced stop they are cancellations. Faults of peers, which any number of
    strangers can cause, are events of ours, and limited.
    """
    is_error = record.levelno >= logging.ERROR and (not server.started or server.is_forced)
    return not is_error and record.msg not in PEERS_FAULTS


def server_config(app: AsgiApp, options: HttpOptions, entrance: HttpEntrance | None = None) -> uvicorn.Config:
    """Return uvicorn's configuration for our way of serving ``app``."""
    most = most_pending(raise_descriptor_limit())
    deadlines = HttpDeadlines(options.request_timeout_s, options.write_timeout_s, most)
    protocol = http_protocol(deadlines)
    return uvicorn.Config(
        app,
        # The one HTTP and the one WebSocket implementation that we test with. It asks for a class and calls it.
        http=cast("type[asyncio.Protocol]", entrance.around(protocol, deadlines)) if entrance is not None else protocol,
        ws=WebSocketProtocol,
        loop="auto",  # uvloop where it is installed
        lifespan="on",
        workers=1,  # otherwise WEB_CONCURRENCY decides
        log_config=None,
        access_log=False,
        # Nobody is trusted to say who the client is but those who are named; uvicorn itself trusts 127.0.0.1.
        proxy_headers=bool(options.forwarded_from),
        forwarded_allow_ips=list(options.forwarded_from),
        server_header=False,
        ws_max_size=options.max_message_bytes,
        ws_ping_interval=options.ping_interval_s,
        ws_ping_timeout=options.ping_timeout_s,
        # Our class compresses a batch once for all clients that negotiated it; still most of the time of a send.
        ws_per_message_deflate=options.deflate,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=1,  # `DrainingServer.shutdown` knows the rest of the deadline
    )


def serve(
    app: AsgiApp,
    gateway: Drainable,
    *,
    http: Address,
    options: HttpOptions | None = None,
    tls: HttpTls | None = None,
    emit: Emit = lambda event: None,
    reload: Callable[[], object] | None = None,
    drain_timeout_s: float = 15.0,
    on_ready: Callable[[Address], None] | None = None,
    ends_process: bool = False,
) -> int:
    """Serve ``app`` until SIGTERM or SIGINT, and drain ``gateway`` first. Call it in the main thread. Logs are as set.

    Args:
        app: an ASGI application in whose lifespan the gateway starts.
        gateway: what is drained.
        http: where to serve HTTP; port 0 lets the system choose.
        options: the HTTP side; the defaults if None.
        tls: what is shown to HTTP clients; they speak plainly if None.
        emit: is told of those that may not connect.
        reload: reads other certificates anew on SIGHUP; if there are none, here and in ``tls``, that begins the stop.
        drain_timeout_s: from the signal to the end, in seconds; 0 stops without waiting for anybody.
        on_ready: called once with the HTTP address, when listeners and HTTP accept.
        ends_process: leave the signal handlers in place, which do nothing any more.

    Returns:
        The exit status: 0 after an orderly stop, 128 plus the signal's number if a second signal cut it short.

    Raises:
        ListenError: the HTTP address, or a listener's, cannot be bound. Nothing is left listening.
        PortcastError: the gateway cannot start for another reason.
        Exception: whatever the application's lifespan raised.
    """
    bound = bind_http(http)
    address = http.with_port(bound.getsockname()[1])
    options = options or HttpOptions()
    checked = HostCheck(app, HostRule(options.allowed_hosts, is_loopback=address.is_loopback))
    watch = _LifespanWatch(checked, partial(_listen, bound, address))
    entrance = HttpEntrance(options, tls, emit)
    ready = partial(on_ready, address) if on_ready else lambda: None
    server = DrainingServer(server_config(watch, options, entrance), gateway, drain_timeout_s, ready)
    server.entrance, server.reload = entrance, reload_all(tls, reload)
    start_filter = partial(_is_wanted, server)
    uvicorn_logger = logging.getLogger("uvicorn.error")
    uvicorn_logger.addFilter(start_filter)
    try:
        with nullcontext() if ends_process else _handlers_restored():
            _run(server, bound)
    except SystemExit:
        # uvicorn's way to say that the lifespan failed.
        raise (watch.error or PortcastError("the application's lifespan failed to start")) from None
    finally:
        uvicorn_logger.removeFilter(start_filter)
        bound.close()
    if server.is_forced:
        _logger.warning("stopped at once by a second signal")
        return 128 + (server.stopped_by or 0)
    return 0


@contextmanager
def _handlers_restored() -> Iterator[None]:
    before = {sig: signal.getsignal(sig) for sig in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for sig, handler in before.items():
                if handler is not None:  # one that was not installed from Python
                    signal.signal(sig, handler)


def _listen(bound: socket.socket, address: Address) -> None:
    # Two servers may bind one address as long as none listens; the second to listen learns it here, and not from
    # uvloop, whose server ignores it.
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        raise http_error(f"http://{address.host_port}", address, error) from error


def _run(server: DrainingServer, bound: socket.socket) -> None:
    """Run the server on a loop of its own, which is not held up by tasks that do not end."""
    factory = server.config.get_loop_factory() or asyncio.new_event_loop
    loop = factory()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.serve([bound]))
    finally:
        loop.run_until_complete(_cancel_the_rest())
        loop.run_until_complete(_close_generators(loop))
        asyncio.set_event_loop(None)
        loop.close()


async def _cancel_the_rest() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    # The drain has cancelled some, and waited for them.
    fresh = [task for task in tasks if not task.cancelling()]
    for task in tasks:
        task.cancel()
    # Not gather: a task that swallows its cancellation must not keep the process.
    if fresh:
        await asyncio.wait(fresh, timeout=LEFT_BEHIND_S)
    elif tasks:
        await asyncio.sleep(0)
    pending = [task for task in tasks if not task.done()]
    if pending:
        _logger.error("tasks left behind count=%d", len(pending))
    for task in pending:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own switch; they have been named


async def _close_generators(loop: asyncio.AbstractEventLoop) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LEFT_BEHIND_S):
            await loop.shutdown_asyncgens()
