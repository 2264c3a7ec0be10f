"""The bounded queue of one subscriber connection, and what its state means for others.

States, by what waits (queued and being written) and by what is left of the allowance:

=========  =======================================  ====================  ======================================
standing   entered when                             holds publishers      ends when
=========  =======================================  ====================  ======================================
healthy    waiting <= half the soft limit           no                    waiting > soft limit
holding    waiting > soft limit, patience left      yes                   drained, or patience spent
demoted    waiting > soft limit, patience spent     no                    drained, or its policy removes it
=========  =======================================  ====================  ======================================

Leaving needs half the soft limit, entering the whole: without the gap a client at the limit would pause and resume
its devices at every message. Without any patience *healthy* becomes *demoted* at once.

The hard limits look at what is queued *behind* the batch being written: however large one flush is, a client that was
idle gets the time to read it.

Accounting: ``offered == delivered + dropped + waiting`` at every moment. Batches are shared with other outboxes, so a
queued batch costs a reference; the limits count payload bytes all the same, because a client that lags keeps them
alive.

This file must not know what a batch holds, who the client is, or what time it is.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from portcast.delivery.batch import Batch
from portcast.delivery.limits import OutboxLimits
from portcast.delivery.patience import Patience


class Standing(Enum):
    """See the table on top of the module."""

    HEALTHY = "healthy"
    HOLDING = "holding"
    DEMOTED = "demoted"


class Outbox:
    """What waits for one subscriber."""

    __slots__ = (
        "_low_bytes",
        "_low_messages",
        "_queue",
        "_slow_since",
        "_writing",
        "_writing_at",
        "_written",
        "delivered",
        "dropped",
        "limits",
        "patience",
        "standing",
        "waiting_bytes",
        "waiting_messages",
    )

    def __init__(self, limits: OutboxLimits, now: float) -> None:
        self.limits = limits
        self.patience = Patience(now, limits.soft_for_s)
        self.standing = Standing.HEALTHY
        # What waits: the batch being written (less what is written of it) and those behind it.
        self.waiting_messages = 0
        self.waiting_bytes = 0
        self._writing: Batch | None = None
        self._writing_at = now
        self._written = (0, 0)
        self._queue: deque[tuple[float, Batch]] = deque()
        # The ledger.
        self.delivered = 0
        self.dropped = 0
        self._slow_since = now
        self._low_bytes = limits.soft_bytes // 2
        self._low_messages = limits.soft_messages // 2

    def offer(self, batch: Batch, now: float) -> bool:
        """Take a batch. Return True if the sink is free and must write it now, False if it was queued."""
        self.waiting_messages += batch.messages
        self.waiting_bytes += batch.size
        if self._writing is None:
            self._begin(batch, now)
            return True
        self._queue.append((now, batch))
        return False

    def _begin(self, batch: Batch, at: float) -> None:
        self._writing = batch
        self._writing_at = at
        self._written = (0, 0)

    def wrote(self, count: int, size: int) -> None:
        """Note that so much of the batch being written is out."""
        self.waiting_messages -= count
        self.waiting_bytes -= size
        self.delivered += count
        done = self._written
        self._written = (done[0] + count, done[1] + size)

    def next(self) -> Batch | None:
        """Note that the batch being written is out as a whole; return the one to write now, if any."""
        if self._writing is not None:
            count, size = self._written
            self.wrote(self._writing.messages - count, self._writing.size - size)
            self._writing = None
        if not self._queue:
            return None
        at, batch = self._queue.popleft()
        self._begin(batch, at)
        return batch

    def discard(self) -> int:
        """Drop everything that waits and return how many publications that were."""
        lost = self.waiting_messages
        self.dropped += lost
        self.waiting_messages = self.waiting_bytes = 0
        self._queue.clear()
        self._writing = None
        return lost

    @property
    def is_over_soft(self) -> bool:
        """True while more waits than the soft limit."""
        return self.waiting_bytes > self.limits.soft_bytes or self.waiting_messages > self.limits.soft_messages

    def review(self, now: float) -> Standing:
        """Bring `standing` up to date and return it."""
        standing = self.standing
        if standing is Standing.HEALTHY:
            if self.is_over_soft:
                self._slow_since = now
                self.patience.hold(now)
                self.standing = Standing.HOLDING
                if self.patience.remaining(now) <= 0:
                    self._demote(now)
        elif self.waiting_bytes <= self._low_bytes and self.waiting_messages <= self._low_messages:
            self.patience.release(now)
            self.standing = Standing.HEALTHY
        elif standing is Standing.HOLDING and self.patience.remaining(now) <= 0:
            self._demote(now)
        return self.standing

    def _demote(self, now: float) -> None:
        self.patience.release(now)
        self.standing = Standing.DEMOTED

    def excess(self, now: float) -> str:
        """Return why this subscriber must go, in words for its close reason; empty if it may stay.

        The byte limit holds always: while a subscriber holds its publishers they add less than that. The others hold
        for a demoted one only, so that a large patience means what it says.
        """
        limits = self.limits
        writing_messages = writing_bytes = 0
        if self._writing is not None:
            writing_messages = self._writing.messages - self._written[0]
            writing_bytes = self._writing.size - self._written[1]
        if self.waiting_bytes - writing_bytes > limits.hard_bytes:
            return f"slow consumer: {self.waiting_bytes} bytes waiting"
        age = self.age(now)
        if self.standing is not Standing.DEMOTED:
            # Nothing to hold: a trickle to a client that does not read never passes the soft limit.
            if self.standing is Standing.HEALTHY and age > limits.hard_age_s:
                return f"slow consumer: waiting for {age:.0f} s"
            return ""
        if self.waiting_messages - writing_messages > limits.hard_messages:
            return f"slow consumer: {self.waiting_messages} messages waiting"
        if age > limits.hard_age_s or now - self._slow_since > limits.soft_for_s:
            return f"slow consumer: behind for {max(age, now - self._slow_since):.0f} s"
        return ""

    def age(self, now: float) -> float:
        """Return the age of the oldest publication that waits, in seconds; 0 if none does."""
        return now - self._writing_at if self._writing is not None else 0.0
