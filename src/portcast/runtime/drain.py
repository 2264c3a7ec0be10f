"""The orderly stop: every frame already received is delivered, everybody is told, and it ends on time.

Order (design: lifecycle), all inside one deadline:

1. listeners stop accepting;
2. devices: what the kernel has received already is read, then reading ends and idle connections close;
3. busy handlers finish, and what waits for a held topic is published;
4. what did not finish is cancelled;
5. the hub flushes, outboxes run empty;
6. subscribers are closed with 1012;
7. what is left is aborted.

Idle connections do not hold the drain up: it is over as soon as nothing is busy. Each step leaves time for those after
it, so that a handler that never returns costs no subscriber its goodbye.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from portcast.events import DrainFinished, DrainStarted, Emit
from portcast.runtime.hub import Hub
from portcast.runtime.listener import Listener
from portcast.runtime.registry import Registry
from portcast.types import ListenerName

POLL_S = 0.01
"""How often the drain looks whether something is still busy. What it waits for lies in four places (tasks, inboxes,
outboxes, sockets), each of which would pay for telling it all the time; it runs once in a process's life."""
LAST_READ_S = 0.25
"""Longest time for reading what the kernel had received when the drain began."""
STEP_SHARE = 0.1
"""The part of the deadline that is kept for each of the steps after the handlers, at most `STEP_MOST_S`."""
STEP_MOST_S = 0.5
ABORT_LEAST_S = 0.05
"""Tasks and transports need a few turns of the loop to end, even when there is no time left."""


async def drain(listeners: Sequence[Listener], registry: Registry, hub: Hub, *, timeout_s: float, emit: Emit) -> None:
    """Stop everything in order within ``timeout_s`` seconds, give or take `ABORT_LEAST_S`.

    Cancelling it leaves connections open; call `abort_all` then.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    deadline = started + timeout_s
    step = min(STEP_MOST_S, timeout_s * STEP_SHARE)
    emit(DrainStarted(len(registry), len(hub.subscribers), timeout_s))
    try:
        for listener in listeners:
            await listener.stop()
        await _last_read(registry, min(deadline - 4 * step, started + LAST_READ_S))
        for connection in registry:
            connection.end("drain")
        await _until(lambda: not _is_busy(registry), deadline - 4 * step)
        cancelled = len(registry.tasks)
        names = _handlers(listeners, registry) if cancelled else ""
        unfinished = {connection.id for connection in registry if not connection.is_handled}
        for connection in registry:
            if connection.id in unfinished:
                connection.abort("aborted")
        await _until(lambda: not _is_busy(registry), deadline - 3 * step)
        hub.flush()
        await _until(lambda: hub.is_idle, deadline - 2 * step)
        hub.close("server is restarting")
        await _until(lambda: not hub.subscribers and not len(registry), deadline - step)
        aborted = unfinished | {connection.id for connection in registry}
        left = [
            _counted(cancelled, "handler", f"cancelled{names}"),
            _counted(len(aborted), "device", "aborted"),
            _counted(len(hub.subscribers), "subscriber", "aborted"),
        ]
        await abort_all(registry, hub, until=deadline)
    except asyncio.CancelledError:
        emit(DrainFinished(loop.time() - started, is_clean=False, detail="cut short"))
        raise
    detail = ", ".join(filter(None, left))
    emit(DrainFinished(loop.time() - started, not detail, detail))


def _counted(number: int, what: str, became: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''} {became}" if number else ""


def _handlers(listeners: Sequence[Listener], registry: Registry) -> str:
    """Return the names of the handlers that did not finish, in brackets."""
    targets = {listener.name: listener.target for listener in listeners}
    busy = {targets.get(ListenerName(one.listener), "") for one in registry if not one.is_handled}
    names = sorted(target.removeprefix("handler ") for target in busy if target.startswith("handler "))
    return f" ({', '.join(names)})" if names else ""


def _is_busy(registry: Registry) -> bool:
    return bool(registry.tasks) or any(connection.is_busy for connection in registry)


async def abort_all(registry: Registry, hub: Hub, *, until: float) -> None:
    """Cancel every handler and abort every connection; wait for handlers until the given loop time.

    Handlers that ignore their cancellation are reported and left alone.
    """
    loop = asyncio.get_running_loop()
    for connection in registry:
        connection.abort("aborted")
    hub.abort()
    await _until(lambda: not registry.tasks and not len(registry), max(until, loop.time() + ABORT_LEAST_S))
    for connection in registry:
        connection.abandon()
    registry.close()


async def _last_read(registry: Registry, until: float) -> None:
    """Let the loop read what is there; over when some turns brought nothing new."""
    loop = asyncio.get_running_loop()
    before = -1
    while loop.time() < until:
        received = sum(c.bytes_received for c in registry)
        if received == before:
            return
        before = received
        await asyncio.sleep(POLL_S)


async def _until(condition: Callable[[], bool], deadline: float) -> None:
    loop = asyncio.get_running_loop()
    while not condition() and loop.time() < deadline:  # noqa: ASYNC110 - nobody could set an event, see POLL_S
        await asyncio.sleep(POLL_S)
