"""Starts applications for tests: the real lifespan, without sockets or on free ports.

What an app is here: a `Gateway`, or any ASGI application that includes one. The lifespan runs as a server would run it,
through the ASGI protocol (ASGI lifespan protocol 2.0), in a task of its own: middleware, the user's lifespans and
dependency overrides work as in production.

A device or a subscription that is given an app joins it if it runs, and starts it in memory if it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from portcast.address import Address
from portcast.errors import ConfigurationError
from portcast.gateway import Gateway
from portcast.runtime import Placement, Surroundings, surroundings
from portcast.testing.clock import ManualClock, ticking

App = Gateway | ASGIApp
"""A gateway, which gets an app of its own if it does not run, or an ASGI application that includes one."""

STOP_S = 1.0
"""For handlers to end at the end of a test; then the drain is hurried. The app's drain timeout is for production."""

_running: dict[int, Gateway] = {}
"""The gateways of the apps that this module runs, by the app's ``id``; an entry lives no longer than its app."""


@contextmanager
def without_sockets(clock: ManualClock | None = None) -> Iterator[None]:
    """Let gateways that start within the block bind nothing; devices come from `TestDevice` alone.

    `in_memory` does this for you. Use it around whatever else starts your app, such as Starlette's test client:

    ```python
    with without_sockets(), TestClient(app) as client:
        ...
    ```

    Args:
        clock: measures their deadlines, patience and ages; None for real time.
    """
    with _surroundings(Surroundings(None if clock is None else ticking(clock), _nowhere, _one)):
        yield


@contextmanager
def free_ports(clock: ManualClock | None = None) -> Iterator[None]:
    """Let gateways that start within the block listen on this machine alone, on ports that the system chooses.

    Unix sockets are made in a temporary folder. `running` and `serving` do this for you.

    Args:
        clock: as for `without_sockets`.
    """
    with TemporaryDirectory(prefix="portcast-") as folder:
        place = _free_place(Path(folder))
        with _surroundings(Surroundings(None if clock is None else ticking(clock), place, _one)):
            yield


@contextmanager
def _surroundings(value: Surroundings) -> Iterator[None]:
    token = surroundings.set(value)
    try:
        yield
    finally:
        surroundings.reset(token)


def _one() -> int:
    """Return the number of a device's first command, so that tests can expect its bytes."""
    return 1


def _nowhere(address: Address) -> Address | None:
    return None


def _free_place(folder: Path) -> Placement:
    numbers = count(1)

    def place(address: Address) -> Address:
        if address.scheme == "unix":
            return replace(address, path=str(folder / f"{next(numbers)}-{Path(address.path).name}"))
        return replace(address, host="::1" if ":" in address.host else "127.0.0.1", port=0)

    return place


@asynccontextmanager
async def in_memory(app: App, *, clock: ManualClock | None = None) -> AsyncIterator[Gateway]:
    """Run an app without sockets for the block, and give its gateway.

    Its listeners are declared as usual but bind nothing. At the end the app stops in order; handlers that are still
    busy after a second are cancelled.

    Args:
        app: see `App`. It must not run yet.
        clock: measures deadlines, patience and ages; None for real time.

    Raises:
        ConfigurationError: the app includes no gateway, or has no lifespan.
        Exception: whatever the app's start or stop raised.
    """
    with without_sockets(clock):
        lifespan = Lifespan(app)
        gateway = await lifespan.start()
    try:
        with registered(app, gateway):
            yield gateway
    finally:
        await lifespan.stop()


@contextmanager
def registered(app: App, gateway: Gateway) -> Iterator[None]:
    """Let devices and subscriptions find the running gateway of an app for the block."""
    _running[id(app)] = gateway
    try:
        yield
    finally:
        del _running[id(app)]


def running_gateway(app: App) -> Gateway | None:
    """Return the gateway of an app that runs, or None. An app that somebody else started is found by its gateway."""
    if isinstance(app, Gateway):
        return app if app.is_running else None
    return _running.get(id(app))


@asynccontextmanager
async def joined(app: App) -> AsyncIterator[Gateway]:
    """Give the gateway of an app, which runs in memory for the block if it does not run already."""
    gateway = running_gateway(app)
    if gateway is not None:
        yield gateway
        return
    async with in_memory(app) as started:
        yield started


def app_of(app: App) -> ASGIApp:
    """Return the application itself; a gateway gets one that includes it and nothing else."""
    if not isinstance(app, Gateway):
        return app
    whole = FastAPI()
    whole.include_router(app)
    return whole


def gateway_in(state: dict[str, Any]) -> Gateway:
    """Return the gateway that an app has put into its lifespan state.

    Raises:
        ConfigurationError: there is none.
    """
    gateway = state.get("portcast")
    if not isinstance(gateway, Gateway):
        raise ConfigurationError("app", "it includes no gateway", "write app.include_router(gateway)")
    return gateway


class Lifespan:
    """The server's side of the ASGI lifespan protocol, for one life of an app."""

    def __init__(self, app: App) -> None:
        self._app = app_of(app)
        self._state: dict[str, Any] = {}
        self._gateway: Gateway | None = None
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._has_started = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Gateway:
        """Start the app, in this context. When cancelled, or when the app has no gateway, it is stopped again.

        Raises:
            ConfigurationError: see `in_memory`.
            Exception: whatever the app raised.
        """
        self._task = asyncio.ensure_future(self._run())
        self._incoming.put_nowait({"type": "lifespan.startup"})
        begun = asyncio.ensure_future(self._has_started.wait())
        try:
            await asyncio.wait([self._task, begun], return_when=asyncio.FIRST_COMPLETED)
            if not self._has_started.is_set():
                await self._task
                raise ConfigurationError("app", "it does not take part in the lifespan", "give the FastAPI app itself")
            self._gateway = gateway_in(self._state)
        except BaseException:
            await self._cancel()
            raise
        finally:
            begun.cancel()
        return self._gateway

    async def stop(self) -> None:
        """Stop the app in order, in a hurry after `STOP_S`.

        Raises:
            Exception: whatever the app raised.
        """
        assert self._task is not None, "start comes first"
        self._incoming.put_nowait({"type": "lifespan.shutdown"})
        try:
            await asyncio.wait([self._task], timeout=STOP_S)
            if self._gateway is not None:
                self._gateway.hurry()
            await self._task
        except asyncio.CancelledError:
            await self._cancel()
            raise

    async def _cancel(self) -> None:
        assert self._task is not None, "start comes first"
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        await self._app(scope, self._incoming.get, self._send)

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._has_started.set()
