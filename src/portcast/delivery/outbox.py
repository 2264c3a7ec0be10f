"""The bounded queue of one subscriber connection, and what its state means for others.

States, by what waits (queued and being written) and by what is left of the allowance:

=========  =======================================  ====================  ======================================
standing   entered when                             holds publishers      ends when
=========  =======================================  ====================  ======================================
healthy    waiting <= half the soft limit           no                    waiting > soft limit
holding    waiting > soft limit, patience left      yes                   drained, or patience spent
demoted    waiting > soft limit, patience spent;    no                    drained, or removed
           or waiting for longer than the hard age
=========  =======================================  ====================  ======================================

Leaving needs half the soft limit, entering the whole: without the gap a client at the limit would pause and resume
its devices at every message. Without any patience *healthy* becomes *demoted* at once. *Demoted* for its age lasts
until nothing is that old. Under the policy ``disconnect`` nobody is demoted for age: `excess` ends it.

While demoted, `policy` says what becomes of what is published (`portcast.delivery.policy`):

* ``disconnect``: it is queued up to the hard limit; `excess` says when the subscriber must go.
* ``drop_oldest``, ``drop_newest``: it is queued, and one end of the queue gives way above the soft limit. At least
  one batch stays, however large.
* ``latest``, ``latest_per_key``: one batch per key is kept, the newest; it follows what was queued before.
* ``catch_up``: nothing is queued. The outbox is *behind*: it keeps the place where it fell behind, and how many
  publications that are; they come from history later. Demoted lasts until it has caught up.

The policy changes only while nothing is queued. So what is queued under ``catch_up`` has no holes, and may fall behind
as a whole: history has exactly what was queued.

Whatever the policy, a subscriber that takes nothing at all for ``hard_age_s`` is gone. One that gets on is removed
under ``disconnect`` only: under the others more than the hard limit of bytes demotes it, whatever is left of its
patience.

The hard limits look at what is queued *after* the batch being written: however large one flush is, a client that was
idle gets the time to read it.

Accounting: ``offered == delivered + dropped + waiting + behind`` at every moment. Batches are shared with other
outboxes, so a queued batch costs a reference; the limits count payload bytes all the same.

This file must not know what a batch holds, who the client is, or what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from portcast.delivery.batch import Batch
from portcast.delivery.limits import OutboxLimits
from portcast.delivery.patience import Patience
from portcast.delivery.policy import Policy
from portcast.publication import Mark


class Standing(Enum):
    """See the table on top of the module."""

    HEALTHY = "healthy"
    HOLDING = "holding"
    DEMOTED = "demoted"


class _Entry(NamedTuple):
    """A batch that waits for the sink."""

    at: float
    batch: Batch
    start: Mark


class Outbox:
    """What waits for one subscriber."""

    __slots__ = (
        "_latest",
        "_latest_bytes",
        "_progress_at",
        "_queue",
        "_released_at",
        "_slow_since",
        "_writing",
        "_writing_at",
        "_written",
        "behind",
        "behind_from",
        "delivered",
        "dropped",
        "limits",
        "patience",
        "policy",
        "standing",
        "waiting_bytes",
        "waiting_messages",
    )

    def __init__(self, limits: OutboxLimits, now: float) -> None:
        self.limits = limits
        self.patience = Patience(now, limits.soft_for_s)
        self.standing = Standing.HEALTHY
        self.policy: Policy = "disconnect"
        """Its owner sets it, while `is_queue_empty`."""
        # What waits: the batch being written (less what is written of it) and those after it. The queue is made when
        # there is something to queue: an empty deque costs more than all the rest.
        self.waiting_messages = 0
        self.waiting_bytes = 0
        self._writing: Batch | None = None
        self._writing_at = now
        self._written = (0, 0)
        self._queue: deque[_Entry] | None = None
        self._latest: dict[str, _Entry] | None = None
        self._latest_bytes = 0
        # What is remembered by position only.
        self.behind = 0
        self.behind_from: Mark | None = None
        # The ledger.
        self.delivered = 0
        self.dropped = 0
        self._slow_since = now
        self._progress_at = now
        # Until then its publishers waited for it: what waited, too, does not count as old.
        self._released_at = now

    # In

    @property
    def is_free(self) -> bool:
        """True if nothing is being written, so that nothing is queued either."""
        return self._writing is None

    @property
    def is_queue_empty(self) -> bool:
        """True if nothing waits after the batch being written, nor is behind."""
        return not self._queue and not self._latest and not self.behind

    def begin(self, batch: Batch, now: float) -> None:
        """Note a batch that the sink has begun to write; it was free."""
        self.waiting_messages += batch.messages
        self.waiting_bytes += batch.size
        self._begin(batch, now, now)

    def queue(self, batch: Batch, now: float, start: Mark) -> None:
        """Take a batch for later."""
        self.waiting_messages += batch.messages
        self.waiting_bytes += batch.size
        if self._queue is None:
            self._queue = deque()
        self._queue.append(_Entry(now, batch, start))

    def keep_latest(self, key: str, batch: Batch, now: float, start: Mark) -> int:
        """Take a batch in place of the one with the same key; return how many publications gave way to it.

        There are at most ``soft_messages`` keys, with half the hard limit of bytes in them; those that changed longest
        ago give way to a new one, which stays however large it is.
        """
        latest = self._latest
        if latest is None:
            latest = self._latest = {}
        lost = self._drop_latest(key) if key in latest else 0
        self.waiting_messages += batch.messages
        self.waiting_bytes += batch.size
        self._latest_bytes += batch.size
        limits = self.limits
        while latest and (len(latest) >= limits.soft_messages or self._latest_bytes > limits.hard_bytes // 2):
            lost += self._drop_latest(next(iter(latest)))
        latest[key] = _Entry(now, batch, start)
        return lost

    def _drop_latest(self, key: str) -> int:
        assert self._latest is not None
        batch = self._latest.pop(key).batch
        self._latest_bytes -= batch.size
        return self._drop(batch)

    def drop_oldest(self) -> int:
        """Drop from the front of the queue until it is within the soft limit or has one batch only.

        Returns:
            How many publications were dropped.
        """
        queue = self._queue
        lost = 0
        while queue and len(queue) > 1 and self.is_full:
            lost += self._drop(queue.popleft().batch)
        return lost

    def refuse(self, messages: int) -> None:
        """Note publications that were dropped instead of taken."""
        self.dropped += messages

    def _drop(self, batch: Batch) -> int:
        self.waiting_messages -= batch.messages
        self.waiting_bytes -= batch.size
        self.dropped += batch.messages
        return batch.messages

    def fall_behind(self, messages: int, start: Mark) -> None:
        """Remember publications by their position only."""
        if self.behind_from is None:
            self.behind_from = start
        self.behind += messages

    def start_behind(self, messages: int, start: Mark) -> None:
        """Begin behind: a subscriber that resumes, with so many publications to come from history first."""
        self.policy = "catch_up"
        self.standing = Standing.DEMOTED
        self.fall_behind(messages, start)

    def queue_falls_behind(self) -> None:
        """Remember by its position all that is queued; what is being written goes on."""
        queue, self._queue = self._queue, None
        for entry in queue or ():
            self.waiting_messages -= entry.batch.messages
            self.waiting_bytes -= entry.batch.size
            self.fall_behind(entry.batch.messages, entry.start)

    def caught_up(self, messages: int, missed: int, position: Mark | None) -> None:
        """Note that publications came from history.

        Args:
            messages: so many are about to be written.
            missed: so many before them are lost, of which the client is told.
            position: where the rest begins; None if this was all.
        """
        self.behind -= messages + missed
        self.dropped += missed
        self.behind_from = position
        assert self.behind > 0 if position is not None else self.behind == 0, "history has what fell behind, or less"

    # Out

    def _begin(self, batch: Batch, offered_at: float, now: float) -> None:
        if self._writing is None:
            self._progress_at = now
        self._writing = batch
        self._writing_at = offered_at
        self._written = (0, 0)

    def wrote(self, messages: int, size: int, now: float) -> None:
        """Note that so much of the batch being written is out."""
        self.waiting_messages -= messages
        self.waiting_bytes -= size
        self.delivered += messages
        done = self._written
        self._written = (done[0] + messages, done[1] + size)
        self.progress(now)

    def next(self, now: float) -> Batch | None:
        """Note that the batch being written is out as a whole; return the one to write now, if any."""
        if self._writing is not None:
            messages, size = self._written
            self.wrote(self._writing.messages - messages, self._writing.size - size, now)
        if self._queue:
            entry = self._queue.popleft()
        elif self._latest:
            entry = self._latest.pop(next(iter(self._latest)))
            self._latest_bytes -= entry.batch.size
        else:
            self._writing = None
            return None
        self._begin(entry.batch, entry.at, now)
        return entry.batch

    def progress(self, now: float) -> None:
        """Note that the client has taken something."""
        self._progress_at = now
        self.patience.progress(now)

    def discard(self) -> int:
        """Drop everything that waits or is behind; return how many publications that were."""
        lost = self.waiting_messages + self.behind
        self.dropped += lost
        self.waiting_messages = self.waiting_bytes = self.behind = self._latest_bytes = 0
        self._queue = self._latest = self._writing = self.behind_from = None
        return lost

    def batches(self) -> Iterator[Batch]:
        """Yield the batches that this outbox keeps alive."""
        if self._writing is not None:
            yield self._writing
        for entry in (*(self._queue or ()), *(self._latest or {}).values()):
            yield entry.batch

    # Judgement

    @property
    def is_over_soft(self) -> bool:
        """True while more waits than the soft limit."""
        return self.waiting_bytes > self.limits.soft_bytes or self.waiting_messages > self.limits.soft_messages

    @property
    def is_full(self) -> bool:
        """True while more than the soft limit waits after the batch being written."""
        messages, size = self._queued()
        return size > self.limits.soft_bytes or messages > self.limits.soft_messages

    @property
    def is_over_hard(self) -> bool:
        """True while more bytes than the hard limit wait after the batch being written."""
        return self._queued()[1] > self.limits.hard_bytes

    def _is_drained(self, now: float) -> bool:
        limits = self.limits
        if self.standing is Standing.DEMOTED and self.age(now) > limits.hard_age_s:
            return False
        return (
            not self.behind
            and self.waiting_bytes <= limits.soft_bytes // 2
            and self.waiting_messages <= limits.soft_messages // 2
        )

    def review(self, now: float) -> Standing:
        """Bring `standing` up to date and return it."""
        standing = self.standing
        if standing is Standing.HEALTHY:
            if self.is_over_soft:
                self._slow_since = now
                self.patience.hold(now, self._progress_at)
                self.standing = Standing.HOLDING
                if self._must_not_hold(now):
                    self.demote(now)
            elif self.policy != "disconnect" and self.age(now) > self.limits.hard_age_s:
                # A trickle to a client that hardly reads never passes the soft limit.
                self._slow_since = now
                self.demote(now)
        elif self._is_drained(now):
            self._recover(now)
        elif standing is Standing.HOLDING and self._must_not_hold(now):
            self.demote(now)
        return self.standing

    def _must_not_hold(self, now: float) -> bool:
        if self.patience.remaining(now) <= 0:
            return True
        return self.policy != "disconnect" and self.is_over_hard

    def demote(self, now: float) -> None:
        """Let it hold nobody from now on, whatever is left of its patience."""
        self.patience.release(now)
        self.standing = Standing.DEMOTED

    def _recover(self, now: float) -> None:
        if self.standing is Standing.HOLDING:
            self._released_at = now
        self.patience.release(now)
        self.standing = Standing.HEALTHY
        if self._latest:
            # What comes now is queued behind them: per topic the order is that of publishing.
            self._queue = deque([*(self._queue or ()), *self._latest.values()])
            self._latest, self._latest_bytes = None, 0

    def excess(self, now: float) -> str:
        """Return why this subscriber must go, in words for its close reason; empty if it may stay.

        Who gets on goes under ``disconnect`` only. There the byte limit holds always: while a subscriber holds its
        publishers they add less than that. The others do not hold for one that holds, so that a large patience means
        what it says.
        """
        limits = self.limits
        if (is_disconnect := self.policy == "disconnect") and self.is_over_hard:
            return f"slow consumer: {self.waiting_bytes} bytes waiting"
        if self.standing is Standing.HOLDING:
            return ""
        if self.is_stuck(now):
            return f"slow consumer: took nothing for {self.stalled_s(now):.0f} s"
        if not is_disconnect:
            return ""
        age = self.age(now)
        if age > limits.hard_age_s:
            return f"slow consumer: behind for {age:.0f} s"
        if self.standing is Standing.DEMOTED:
            if self._queued()[0] > limits.hard_messages:
                return f"slow consumer: {self.waiting_messages} messages waiting"
            if now - self._slow_since > limits.soft_for_s:
                return f"slow consumer: behind for {max(age, now - self._slow_since):.0f} s"
        return ""

    def _queued(self) -> tuple[int, int]:
        """Return messages and bytes that wait after the batch being written."""
        if self._writing is None:
            return self.waiting_messages, self.waiting_bytes
        messages, size = self._written
        writing = self._writing
        return self.waiting_messages - writing.messages + messages, self.waiting_bytes - writing.size + size

    def age(self, now: float) -> float:
        """Return for how many seconds the oldest waiting publication has waited; 0 if none does.

        The time for which publishers waited with it does not count: that is what patience allows.
        """
        return now - max(self._writing_at, self._released_at) if self._writing is not None else 0.0

    def is_stuck(self, now: float) -> bool:
        """True if `stalled_s` is over the hard age."""
        return self.stalled_s(now) > self.limits.hard_age_s

    def stalled_s(self, now: float) -> float:
        """Return for how many seconds the client has taken nothing although something waits; 0 if nothing does."""
        return now - self._progress_at if self._writing is not None else 0.0
