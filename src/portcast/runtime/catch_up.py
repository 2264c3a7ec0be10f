"""Brings a subscriber that fell behind up to date, from history, in bounded rounds.

A subscriber that is behind holds a place and a count, and nothing else (`Outbox.behind_from`, `Outbox.behind`). When
its sink is free, one round reads what history still has after that place and writes it. The count tells exactly how
much history no longer has: what fell behind and is not held is lost, and the client is told once, before the rest.

Rounds run at the end of a flush, when nothing is pending: then everything published so far is in history, nothing of
it waits elsewhere, and what is published next is delivered as usual to one that has caught up.
"""

from __future__ import annotations

from collections.abc import Sequence

from portcast.brokers.base import Broker, resume_at, resume_by_sequence
from portcast.delivery import Loss
from portcast.publication import Mark, Publication, mark_after, runs_of
from portcast.runtime.clock import Clock
from portcast.runtime.slow_consumers import SlowConsumers
from portcast.runtime.subscriber import Follower, Subscriber

ROUND_PUBLICATIONS = 300
"""As Centrifugo's limit of one recovery."""
ROUND_BYTES = 262_144
"""As the soft limit of an outbox: one round must not make the subscriber slow again."""


ROUNDS_S = 0.01
"""After so long no further round begins in one flush: a thousand subscribers that come back do not stop the others."""


class CatchUp:
    """See the theory on top of the module."""

    def __init__(self, clock: Clock, broker: Broker, slow: SlowConsumers) -> None:
        """Prepare with nobody behind.

        Args:
            clock: the loop.
            broker: has the history.
            slow: judges those who got a round, removes those who cannot be told of a gap, counts what is lost.
        """
        self._clock = clock
        self._broker = broker
        self._slow = slow
        # Those that have room for a round; the first has waited the longest.
        self._waiting: dict[Subscriber, None] = {}
        # Why what a subscriber unfollows is lost to it.
        self._reason: Loss = "left"

    @property
    def is_needed(self) -> bool:
        """True while somebody waits for a round."""
        return bool(self._waiting)

    def add(self, subscriber: Subscriber) -> None:
        """Give a round to a subscriber that is behind and free."""
        self._waiting.setdefault(subscriber)

    def discard(self, subscriber: Subscriber) -> None:
        """Forget a subscriber that is gone."""
        self._waiting.pop(subscriber, None)

    def rounds(self, now: float) -> None:
        """Give one round to each of those that wait, while there is time; to be called when nothing is pending."""
        until = self._clock.time() + ROUNDS_S
        for subscriber in list(self._waiting):
            if subscriber not in self._waiting:
                continue  # the end of one before has ended it
            del self._waiting[subscriber]
            self._round(subscriber, now)
            if self._clock.time() >= until:
                return

    def _round(self, subscriber: Subscriber, now: float) -> None:
        """Write the next part of what a subscriber missed."""
        outbox = subscriber.outbox
        start = outbox.behind_from
        if start is None or not outbox.is_free:
            return
        since = resume_at(subscriber.filters, start, self._broker.node_epoch())
        recovery = self._broker.recover(subscriber.filters, since, ROUND_PUBLICATIONS, now)
        found = within_bytes(recovery.publications)
        held = len(recovery.publications) + recovery.more
        missed = outbox.behind - held
        encoding = subscriber.encoding
        batches = [encoding.encode(run) for run in runs_of(found)]
        if missed:
            gap = encoding.gap(missed, True)
            if gap is None and subscriber.follower is not None:
                self._overtaken(subscriber, subscriber.follower, start, now)
                return
            if gap is None:
                self._slow.remove(subscriber, f"slow consumer: missed {missed} publications")
                return
            batches.insert(0, gap)
            self._slow.note_loss(subscriber.first_filter, subscriber, "overtaken", missed)
        outbox.caught_up(len(found), missed, mark_after(found[-1]) if len(found) < held else None)
        is_free = subscriber.write(batches[0] if len(batches) == 1 else encoding.join(batches), now)
        if is_free and outbox.behind:
            self.add(subscriber)
        # Once it has the last of it, it is like any other: what comes now is queued, and encoded once for all.
        self._slow.review(subscriber, now)
        if subscriber.follower is not None and is_free and not outbox.behind:
            # Not from within a flush: it may want another one.
            self._clock.call_soon(subscriber.follower.has_room)

    def _overtaken(self, subscriber: Subscriber, follower: Follower, start: Mark, now: float) -> None:
        """Let a client that has many subscriptions give up those that lost something; the rest goes on."""
        since = resume_by_sequence(start, self._broker.node_epoch())
        lost = [one for one in subscriber.filters if self._broker.recover((one,), since, 0, now).missed]
        self._reason = "overtaken"
        for one in lost or subscriber.filters:
            if not subscriber.is_closed:
                follower.overtaken(one)
        self._reason = "left"
        if subscriber.outbox.behind and not subscriber.is_closed:
            self.add(subscriber)
        self._slow.review(subscriber, now)

    def unfollowed(self, subscriber: Subscriber, topic_filter: str, pending: int, now: float) -> None:
        """Count anew what a subscriber that is behind will get, now that it has a filter less.

        One with a queue falls behind, so that what it does not want any more is not sent. Only under `catch_up`: under
        other policies the queue has holes, and what is in it may still come.

        Args:
            subscriber: has its other filters only.
            topic_filter: the one that it had.
            pending: publications that wait for the flush and are for it: in history, but not behind yet.
            now: monotonic seconds.
        """
        outbox = subscriber.outbox
        if outbox.policy == "catch_up" and not outbox.is_queue_empty and not outbox.behind:
            self._slow.demote(subscriber, now)
        start = outbox.behind_from
        if start is None:
            return
        left = 0
        if subscriber.filters:
            since = resume_by_sequence(start, self._broker.node_epoch())
            recovery = self._broker.recover(subscriber.filters, since, 0, now)
            # Where more is lost it may not be known how much: then the count stays too high, and the next round tells.
            left = outbox.behind if recovery.missed else min(outbox.behind, recovery.more - pending)
        if gone := outbox.behind - left:
            self._slow.note_loss(topic_filter, subscriber, self._reason, gone)
            outbox.caught_up(0, gone, start if left else None)
            # One that is not behind any more gets no round: who stays demoted then would never get another.
            self._slow.review(subscriber, now)


def within_bytes(publications: Sequence[Publication]) -> Sequence[Publication]:
    """Return the first publications that fit a round, at least one if there is one."""
    total = 0
    for index, one in enumerate(publications):
        total += len(one.data)
        if total > ROUND_BYTES and index:
            return publications[:index]
    return publications
