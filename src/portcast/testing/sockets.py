"""Apps with real sockets, for tests of what memory does not have: kernels, TLS, browsers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import uvicorn

from portcast.address import Address
from portcast.gateway import Gateway
from portcast.http_socket import bind_http
from portcast.testing.lifespan import STOP_S, App, Lifespan, app_of, free_ports, gateway_in, registered
from portcast.testing.listeners import find_listener
from portcast.testing.waiting import eventually

START_S = 10.0
"""For a server to start; only a failing test waits so long."""


class RunningApp:
    """An app whose listeners accept on free ports of this machine."""

    def __init__(self, gateway: Gateway | None) -> None:
        self._gateway = gateway

    @property
    def gateway(self) -> Gateway:
        """Its gateway.

        Raises:
            ConfigurationError: it includes none, as an app that is only served may.
        """
        return gateway_in({"portcast": self._gateway})

    def address(self, listener: str | int | None = None) -> Address:
        """Return where a listener is bound.

        Args:
            listener: as for `TestDevice`.

        Raises:
            ConfigurationError: there is no such listener, or several where none was named.
        """
        return find_listener(self.gateway, listener).address

    @property
    def ports(self) -> list[int]:
        """The listeners' ports, in the order of their declaration; 0 for a Unix socket."""
        return [one.address.port for one in self.gateway.listeners]


class ServedApp(RunningApp):
    """An app that also serves HTTP, on a free port.

    Attributes:
        port: where HTTP is served, on 127.0.0.1.
    """

    def __init__(self, gateway: Gateway | None, server: _Server, task: asyncio.Task[None], port: int) -> None:
        super().__init__(gateway)
        self._server = server
        self._task = task
        self.port = port

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """``ws://127.0.0.1:PORT``."""
        return f"ws://127.0.0.1:{self.port}"

    def begin_stop(self) -> None:
        """Tell the server to stop, as a signal would."""
        self._server.stop.set()
        self._server.should_exit = True

    async def stop(self) -> None:
        """Stop in order: clients are closed, the gateway is drained. Does nothing the second time."""
        self.begin_stop()
        await self._task


@asynccontextmanager
async def running(app: App) -> AsyncIterator[RunningApp]:
    """Run an app for the block, with its listeners on free ports of this machine, without HTTP.

    ```python
    async with running(app) as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.ports[0])
    ```

    Unix sockets are made in a temporary folder. Declared ports are not bound, so tests may run in parallel. Devices and
    subscriptions in memory work beside the sockets.

    Args:
        app: a `Gateway`, or an ASGI app that includes one. It must not run yet.

    Raises:
        ConfigurationError: the app includes no gateway, or has no lifespan.
        Exception: whatever the app's start or stop raised.
    """
    with free_ports():
        lifespan = Lifespan(app)
        gateway = await lifespan.start()
        try:
            with registered(app, gateway):
                yield RunningApp(gateway)
        finally:
            await lifespan.stop()


class _Server(uvicorn.Server):
    """uvicorn, without the tenth of a second that its main loop sleeps at a time."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            # uvicorn's way to say that the app did not start; on a shared loop it would end the whole test run.
            self.should_exit = True

    async def main_loop(self) -> None:
        await self.stop.wait()


@asynccontextmanager
async def serving(app: App, *, is_limited: bool = False, **config: Any) -> AsyncIterator[ServedApp]:
    """Serve an app for the block: as `running`, and HTTP and WebSockets on a free port, by uvicorn on this loop.

    Args:
        app: as for `running`; one that includes no gateway is served, too.
        is_limited: serve on a socket as ``portcast serve`` makes it: the kernel hides little of a client that does not
            read.
        **config: for `uvicorn.Config`; ``ws="portcast.web.websocket_protocol:WebSocketProtocol"`` for our own class.

    Raises:
        AssertionError: the server did not start; its log says why.
    """
    with free_ports():
        bound = bind_http(Address("tcp", "127.0.0.1", 0)) if is_limited else socket.create_server(("127.0.0.1", 0))
        options = {"log_config": None, "lifespan": "on", "ws": "websockets-sansio", "http": "h11", "access_log": False}
        server = _Server(uvicorn.Config(app_of(app), **{**options, **config}))
        task = asyncio.ensure_future(server.serve([bound]))
        try:
            await eventually(lambda: server.started or task.done(), START_S)
            if not server.started:
                raise AssertionError("the server did not start; its log says why")
            found = server.lifespan.state.get("portcast")
            gateway = found if isinstance(found, Gateway) else None
            with registered(app, gateway) if gateway is not None else nullcontext():
                served = ServedApp(gateway, server, task, bound.getsockname()[1])
                yield served
                await served.stop()
        finally:
            await _end(server, task)
            bound.close()


async def _end(server: _Server, task: asyncio.Task[None]) -> None:
    """Stop a server that a failed test has left: in order if that is quick, so that its app stops with it."""
    if task.done():
        return
    server.stop.set()
    server.should_exit = True
    await asyncio.wait([task], timeout=STOP_S)
    if task.done():
        return
    gateway = server.lifespan.state.get("portcast")
    if isinstance(gateway, Gateway):
        # A handler that is stuck: as after a second signal.
        drain = asyncio.ensure_future(gateway.drain())
        await asyncio.sleep(0)
        gateway.hurry()
        await asyncio.wait([drain], timeout=STOP_S)
    task.cancel()
    await asyncio.wait([task])
    # A cancelled server leaves them open, and uvloop's close waits for them: the failure would never be shown.
    for left in getattr(server, "servers", ()):
        left.close()
