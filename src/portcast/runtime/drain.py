"""The orderly stop: every frame already received is delivered, everybody is told, and it ends on time.

Order (design: lifecycle), all inside one deadline:

1. listeners stop accepting;
2. devices: what the kernel has received already is read, then reading ends and idle connections close;
3. busy handlers finish;
4. the hub flushes, outboxes run empty;
5. subscribers are closed with 1012;
6. what is left is cancelled, then aborted.

Idle connections do not hold the drain up: it is over as soon as nothing is busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from portcast.events import DrainFinished, DrainStarted, Emit
from portcast.runtime.hub import Hub
from portcast.runtime.listener import Listener
from portcast.runtime.registry import Registry

POLL_S = 0.01
"""How often the drain looks whether something is still busy. It runs once in a process's life, so it may poll."""
LAST_READ_S = 0.25
"""Longest time for reading what the kernel had received when the drain began."""
CANCEL_SHARE = 0.1
"""The last part of the deadline, kept for cancelling and aborting (at most `CANCEL_MOST_S`)."""
CANCEL_MOST_S = 1.0


async def drain(listeners: Sequence[Listener], registry: Registry, hub: Hub, *, timeout_s: float, emit: Emit) -> None:
    """Stop everything in order within ``timeout_s`` seconds.

    Cancelling it leaves connections open; call `abort_all` then.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    deadline = started + timeout_s
    soft = deadline - min(CANCEL_MOST_S, timeout_s * CANCEL_SHARE)
    emit(DrainStarted(len(registry), len(hub.subscribers), timeout_s))
    for listener in listeners:
        await listener.stop()
    await _last_read(registry, min(soft, started + LAST_READ_S))
    for connection in registry:
        connection.end("drain")
    await _until(lambda: not any(c.is_busy for c in registry) and not registry.tasks, soft)
    busy = len(registry.tasks)
    hub.flush()
    await _until(lambda: hub.is_idle, soft)
    hub.close("server is restarting")
    await _until(lambda: not hub.subscribers and not len(registry), soft)
    left = (len(registry), len(hub.subscribers))
    await abort_all(registry, hub, until=deadline)
    problems = [
        f"{number} {what}"
        for number, what in (
            (busy, "handlers cancelled"),
            (left[0], "devices aborted"),
            (left[1], "subscribers aborted"),
        )
        if number
    ]
    emit(DrainFinished(loop.time() - started, not problems, ", ".join(problems)))


async def abort_all(registry: Registry, hub: Hub, *, until: float) -> None:
    """Cancel every handler and abort every connection; wait for handlers until the given loop time."""
    for connection in registry:
        connection.abort("aborted")
    hub.abort()
    await _until(lambda: not registry.tasks and not len(registry), until)
    for connection in registry:
        connection.abandon()
    registry.close()


async def _last_read(registry: Registry, until: float) -> None:
    """Let the loop read what is there; over when a whole turn brought nothing new."""
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
    while not condition() and loop.time() < deadline:
        await asyncio.sleep(POLL_S)
