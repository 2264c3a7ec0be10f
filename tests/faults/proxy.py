"""A TCP proxy on loopback that does to each connection what its plan says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import cycle

from faults.plans import Plan, Way

_CHUNK = 16_384


class FaultProxy:
    """See the module.

    Attributes:
        port: where it accepts.
        plans: those that connections have taken, in the order of accepting.
    """

    def __init__(self, target: int, next_plan: Callable[[], Plan]) -> None:
        self._target = target
        self._next_plan = next_plan
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port: int = self._listener.getsockname()[1]
        self.plans: list[Plan] = []

    async def run(self) -> None:
        """Accept until cancelled, then end every connection with a reset."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                client, _ = await loop.sock_accept(self._listener)
                plan = self._next_plan()
                self.plans.append(plan)
                task = asyncio.ensure_future(self._serve(client, plan))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            self._listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: socket.socket, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        server = socket.socket()
        for one in (client, server):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_reset = True
        try:
            await loop.sock_connect(server, ("127.0.0.1", self._target))
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(client, server, plan.up))
                both.create_task(_pass(server, client, plan.down))
            is_reset = False
        except* _Reset:
            pass
        except* _Closed:
            is_reset = False
        except* OSError:
            pass
        finally:
            for one in (client, server):
                if is_reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.close()


class _Reset(Exception):
    """The plan says so."""


class _Closed(Exception):
    """The plan says so."""


async def _pass(source: socket.socket, sink: socket.socket, way: Way) -> None:
    """Pass bytes on in one direction until its end, or until the fault."""
    loop = asyncio.get_running_loop()
    sizes = cycle(way.pieces) if way.pieces else None
    passed = 0
    is_armed = way.fault != "none"
    while True:
        if is_armed and passed >= way.after:
            is_armed = False
            match way.fault:
                case "freeze":
                    await asyncio.sleep(way.freeze_s)
                case "half_close":
                    sink.shutdown(socket.SHUT_WR)
                    return
                case "close":
                    raise _Closed
                case _:
                    raise _Reset
        data = await loop.sock_recv(source, min(_CHUNK, way.after - passed) if is_armed else _CHUNK)
        if not data:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
            return
        at = 0
        while at < len(data):
            piece = data[at : at + next(sizes)] if sizes is not None else data[at:]
            if way.delay_s or way.rate:
                await asyncio.sleep(way.delay_s + (len(piece) / way.rate if way.rate else 0))
            await loop.sock_sendall(sink, piece)
            if sizes is not None:
                await asyncio.sleep(0)  # so that the reader may see this piece alone
            at += len(piece)
        passed += len(data)


@asynccontextmanager
async def fault_proxy(target: int, plan: Plan | Callable[[], Plan]) -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of a port of this machine; one plan for all connections, or one for each."""
    proxy = FaultProxy(target, plan if callable(plan) else lambda: plan)
    task = asyncio.ensure_future(proxy.run())
    try:
        yield proxy
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
