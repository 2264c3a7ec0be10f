"""Keeps the process below its memory limit: over it publishers are not read and newcomers are refused.

Looks at what the process uses, not at what is buffered: buffers are counted by `buffered_bytes` and have bounds of
their own, but it is the resident memory for which the kernel kills, and handlers, libraries and the allocator have
their part in it.

States: *enough* ⇄ *short*. It becomes short above the limit and is over below 90 % of it, so that it does not flap.
While short, free memory is given back to the system once a second.

A look is one read of a file of the kernel (about 20 µs): once a second while there is a gigabyte left, and more often
the less there is, at most fifty times a second. That is not enough for devices: uvloop reads up to 8 MiB of each in one
turn, 100 of them fill 300 MiB before any timer runs. So reads count against an allowance, and who spends the last of it
makes us look. It costs a subtraction for each read, and nothing for a message.

Devices are told to pause; clients that publish come and ask: `MemoryGuard.is_short`, then `MemoryGuard.wait_enough`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import astuple, dataclass
from math import inf
from typing import TYPE_CHECKING

from portcast.events import Emit, MemoryRecovered, MemoryShort
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.memory_limit import MemoryLimit, MemoryUse, memory_trimmer, memory_use

if TYPE_CHECKING:
    from portcast.brokers.base import Broker
    from portcast.runtime.flight_recorder import FlightRecorder
    from portcast.runtime.hub import Hub
    from portcast.runtime.registry import Allowance, Registry

LOOK_S = 1.0
SOON_S = 0.02
FASTEST = 1_000_000_000
"""Bytes per second that the process may grow by: a hundred devices on loopback filled 200 MiB within half a second."""
AMPLIFICATION = 32
"""Bytes of memory for each byte read, at worst: a frame of one byte and its delimiter take 56."""
LEAST_ALLOWANCE = 262_144
"""One read."""
ENOUGH = 0.9
"""Share of the limit below which memory is not short any more."""
TRIM_S = 1.0
"""Between two times that free memory is given back: that takes milliseconds."""


@dataclass(frozen=True, slots=True)
class BufferedBytes:
    """All that waits in buffers of ours, in bytes.

    Attributes:
        frames: of devices: partial frames, and whole ones that wait for their handler or topic.
        devices: written to devices and not taken by them.
        clients: publications that wait for clients or are being written to them, and for the next flush. What several
            clients wait for is there once and counts once.
        history: retained publications, as `portcast.history.HistoryLimits.total_bytes` counts them.
        recorder: what the flight recorder keeps.
    """

    frames: int = 0
    devices: int = 0
    clients: int = 0
    history: int = 0
    recorder: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return sum(astuple(self))


def buffered_bytes(registry: Registry, hub: Hub, broker: Broker, recorder: FlightRecorder) -> BufferedBytes:
    """Count what waits now. Walks all connections and subscribers: for whoever asks, never for a message."""
    subscribers = hub.subscribers
    # A batch is shared by all subscribers that it waits for.
    batches = {id(batch): batch.size for one in subscribers for batch in one.outbox.batches()}
    return BufferedBytes(
        frames=sum(one.waiting_bytes for one in registry),
        devices=sum(one.unsent_bytes for one in registry),
        clients=hub.pending_bytes + sum(batches.values()),
        history=broker.retained_bytes(),
        recorder=recorder.log.bytes,
    )


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """A snapshot.

    Attributes:
        is_short: devices are not read now, and newcomers are refused.
        use: what the process used at the last look.
        limit: the soft limit; 0 bytes where there is none.
        times_short: how often memory became short since start.
        buffered: where bytes wait.
    """

    is_short: bool
    use: MemoryUse
    limit: MemoryLimit
    times_short: int
    buffered: BufferedBytes


class MemoryGuard:
    """See the theory on top of the module. Used on the loop only.

    Attributes:
        is_short: True while devices are not read and newcomers are refused.
        limit: the soft limit.
    """

    def __init__(
        self,
        limit: MemoryLimit,
        clock: Clock,
        *,
        pause: Callable[[bool], None],
        allowance: Allowance,
        buffered: Callable[[], BufferedBytes],
        emit: Emit,
        use: Callable[[], MemoryUse] = memory_use,
        trim: Callable[[], object] | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            limit: what may be used.
            clock: measures the time between looks.
            pause: called with True when memory becomes short, with False when it is enough.
            allowance: what devices may send until the next look.
            buffered: counts where bytes wait.
            emit: takes what happens.
            use: tells what is used.
            trim: gives free memory back; that of the system if None.
        """
        self.limit = limit
        self.is_short = False
        self._clock = clock
        self._pause = pause
        self._allowance = allowance
        self._buffered = buffered
        self._emit = emit
        self._read = use
        self._trim = trim if trim is not None else memory_trimmer()
        self._timer: Timer | None = None
        self._use = MemoryUse()
        self._times_short = 0
        self._since = self._trimmed_at = 0.0
        self._enough = asyncio.Event()
        self._enough.set()

    def start(self) -> None:
        """Begin to look, once there is something to compare with."""
        self._allowance.spent = self._look
        self._look()

    def stop(self) -> None:
        """Look no more."""
        self._allowance.left, self._allowance.spent = inf, lambda: None
        self._enough.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wait_enough(self) -> None:
        """Wait while memory is short, at most until nobody looks any more. Cancelling it leaves nothing behind."""
        await self._enough.wait()

    def statistics(self) -> MemoryStatistics:
        """Return a snapshot."""
        return MemoryStatistics(self.is_short, self._read(), self.limit, self._times_short, self._buffered())

    def _look(self) -> None:
        if (use := self._read()).resident:  # it may fail for want of a descriptor: the next look tells
            self._use = use
        used, limit, now = self._use.resident, self.limit.bytes, self._clock.time()
        if not (used and limit):
            return
        if self.is_short and now - self._trimmed_at >= TRIM_S:
            self._trimmed_at = now
            self._trim()
        self._allowance.left = max(LEAST_ALLOWANCE, (limit - used) // AMPLIFICATION)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_at(now + min(LOOK_S, max(SOON_S, (limit - used) / FASTEST)), self._look)
        if used > limit and not self.is_short:
            self._change(is_short=True, now=now)
        elif used < limit * ENOUGH and self.is_short:
            self._change(is_short=False, now=now)

    def _change(self, *, is_short: bool, now: float) -> None:
        self.is_short = is_short
        self._pause(is_short)
        used, limit, buffered = self._use.resident, self.limit.bytes, self._buffered().total
        if is_short:
            self._enough.clear()
            self._times_short += 1
            self._since = now
            self._emit(MemoryShort(used, limit, buffered))
        else:
            self._enough.set()
            self._emit(MemoryRecovered(used, limit, buffered, now - self._since))
