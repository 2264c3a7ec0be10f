"""Judges subscribers that do not keep up: who holds publishers, who is demoted, who must go, and what that cost.

`portcast.delivery.Outbox` decides for one subscriber, given the time; this decides when to look, keeps the sets and
counters that span subscribers, and acts. Looks are taken when a batch is queued, when a sink got on, and by one timer:
every second, sooner while somebody holds or is about to have taken nothing for too long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from portcast.delivery import Loss, Standing
from portcast.events import Emit, SubscriberDemoted, SubscriberSlow
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.subscriber import CLOSE_SLOW, Subscriber

REVIEW_S = 1.0
"""How often ages and allowances are looked at when nothing calls for it sooner."""
LATE_S = 0.001
"""Added to each look, so that it finds passed what it came for in spite of rounding."""
MOST_LOSS_KEYS = 4096
"""Losses told apart; what comes beyond counts under the topic ``…``, because devices can make up topics."""


@dataclass(frozen=True, slots=True)
class LossCount:
    """Publications declared dropped, each counted once for each subscriber that did not get it.

    Attributes:
        topic: what had to make room, or for which room was made; the subscriber's first filter where all that waited
            for it was lost, or history was overtaken.
        policy: the subscriber's policy at the time.
        reason: see `portcast.delivery.Loss`.
        messages: how many.
    """

    topic: str
    policy: str
    reason: str
    messages: int


class SlowConsumers:
    """See the theory on top of the module.

    Attributes:
        holding: those who hold publishers now.
        slow: how often one ceased to be healthy.
        demoted: how often one was demoted.
        removed: how many were removed.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        subscribers: Collection[Subscriber],
        patiences: Callable[[], Iterable[float]],
        look_soon: Callable[[], None],
        budget_bytes: int,
        emit: Emit,
    ) -> None:
        """Prepare.

        Args:
            clock: the loop.
            subscribers: all of the hub, as they come and go.
            patiences: every patience that a topic may have.
            look_soon: lets in publishers that nothing holds any more.
            budget_bytes: most that may wait for all subscribers together.
            emit: takes what happens.
        """
        self._clock = clock
        self._subscribers = subscribers
        self._patiences = patiences
        self._look_soon = look_soon
        self._budget_bytes = budget_bytes
        self._emit = emit
        self.holding: set[Subscriber] = set()
        # While the hub walks its subscribers: those who must go after that, and why.
        self._is_deferring = False
        self._excessive: dict[Subscriber, str] = {}
        # While one is removed: who, so that its loss is told from that of one who left.
        self._leaving: Subscriber | None = None
        self._timer: Timer | None = None
        self._due = 0.0
        self.slow = self.demoted = self.removed = 0
        self._losses: Counter[tuple[str, str, str]] = Counter()

    # Judging one

    def review(self, subscriber: Subscriber, now: float) -> None:
        """Bring the standing of one subscriber up to date and act on it."""
        subscriber.look_for_progress(now)
        outbox = subscriber.outbox
        before = outbox.standing
        standing = outbox.review(now)
        if standing is not before:
            self._changed(subscriber, before, standing, now)
        if reason := outbox.excess(now):
            self.remove(subscriber, reason)

    def demote(self, subscriber: Subscriber, now: float) -> None:
        """Demote a subscriber that is not yet: what is queued for it must come from history."""
        before = subscriber.outbox.standing
        subscriber.outbox.demote(now)
        self._changed(subscriber, before, Standing.DEMOTED, now)

    def _changed(self, subscriber: Subscriber, before: Standing, standing: Standing, now: float) -> None:
        outbox = subscriber.outbox
        if before is Standing.HEALTHY:
            self.slow += 1
            self._emit(SubscriberSlow(subscriber.id, outbox.waiting_messages, outbox.waiting_bytes))
        if standing is Standing.DEMOTED:
            self.demoted += 1
            self._emit(SubscriberDemoted(subscriber.id, outbox.waiting_messages, outbox.waiting_bytes))
            subscriber.demoted()
        if standing is Standing.HOLDING:
            self.holding.add(subscriber)
            self.arm(now, self._next_look(subscriber, now))
        else:
            self.holding.discard(subscriber)
            self._look_soon()

    def remove(self, subscriber: Subscriber, reason: str) -> None:
        """Remove a subscriber, at once or after the walk."""
        if self._is_deferring:
            self._excessive[subscriber] = reason
        elif not subscriber.is_closed:
            self.removed += 1
            self._leaving = subscriber
            if subscriber.outbox.is_stuck(self._clock.time()):
                # A goodbye would stand behind all that it has not read for so long.
                subscriber.abort(reason)
            else:
                subscriber.close(CLOSE_SLOW, reason)
            self._leaving = None

    def defer(self) -> None:
        """Remove nobody until `settle`: the hub is walking its subscribers."""
        self._is_deferring = True

    def settle(self) -> None:
        """Remove those who should have gone meanwhile."""
        self._is_deferring = False
        excessive, self._excessive = self._excessive, {}
        for subscriber, reason in excessive.items():
            self.remove(subscriber, reason)

    def forget(self, subscriber: Subscriber, lost: int) -> None:
        """Take note that a subscriber is gone, with so many publications that it did not get."""
        self.holding.discard(subscriber)
        if lost:
            reason: Loss = "removed" if self._leaving is subscriber else "left"
            self.note_loss(subscriber.first_filter, subscriber, reason, lost)

    # Judging all

    def _next_look(self, subscriber: Subscriber, now: float) -> float:
        """Return in how many seconds one that holds may have used up the patience of some topic, or its own."""
        patience = subscriber.outbox.patience
        spent = patience.spent(now)
        return min([REVIEW_S, *(patience.until(one, now) for one in self._patiences() if one > spent)])

    def arm(self, now: float, within_s: float = REVIEW_S) -> None:
        """See to it that everybody is looked at in time. An earlier look that is due stays."""
        due = now + within_s + LATE_S
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_at(due, self._review_all)

    def _review_all(self) -> None:
        self._timer = None
        now = self._clock.time()
        soon = REVIEW_S
        for subscriber in list(self._subscribers):
            outbox = subscriber.outbox
            if not outbox.is_free:
                self.review(subscriber, now)
                if (left := outbox.limits.hard_age_s - outbox.stalled_s(now)) > 0:
                    soon = min(soon, left)
        self._keep_budget()
        self._look_soon()
        if self._subscribers:
            self.arm(now, min([soon, *(self._next_look(one, now) for one in self.holding)]))

    def _keep_budget(self) -> None:
        """Remove those that cost the most while more waits for all together than the process may hold.

        Batches are shared: one that waits for a thousand subscribers is there once, and costs each of them a
        thousandth of its size.
        """
        waiting = [one for one in self._subscribers if one.outbox.waiting_bytes]
        if sum(one.outbox.waiting_bytes for one in waiting) <= self._budget_bytes:
            return
        batches = {one: list(one.outbox.batches()) for one in waiting}
        sharing = Counter(id(batch) for held in batches.values() for batch in held)
        costs = {one: sum(batch.size / sharing[id(batch)] for batch in held) for one, held in batches.items()}
        total = sum(costs.values())
        for worst in sorted(waiting, key=costs.__getitem__, reverse=True):
            if total <= self._budget_bytes:
                return
            for batch in batches[worst]:
                sharing[id(batch)] -= 1
                if not sharing[id(batch)]:
                    total -= batch.size
            self.remove(worst, "slow consumer: too much waits in the whole process")

    def stop(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Losses

    def note_loss(self, topic: str, subscriber: Subscriber, reason: Loss, messages: int) -> None:
        """Count publications that were declared dropped."""
        key = (topic, subscriber.outbox.policy, reason)
        if key not in self._losses and len(self._losses) >= MOST_LOSS_KEYS:
            key = ("…", subscriber.outbox.policy, reason)
        self._losses[key] += messages

    def losses(self) -> list[LossCount]:
        """Return what was declared dropped since start, the largest first."""
        return [LossCount(*key, messages) for key, messages in self._losses.most_common()]
