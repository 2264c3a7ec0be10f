"""Delivery inside one process: runs in, one batch per encoding out, once per tick.

The life of a publication here:

1. `deliver` notes the run with the *audience* of its topic at that moment. Consecutive runs of one topic merge.
   Because the audience is taken at publish time, whoever subscribes later does not get the run from here and may
   read it from history instead: there is no window in which something is lost or doubled.
2. At the end of the tick `flush` encodes each run once per encoding in use, joins what goes to the same subscribers,
   and offers each of them one batch (`portcast.delivery.Outbox` decides: written, held or gone). Nothing awaits while
   subscribers are walked, and nobody is removed: who must go goes after the walk. Then those that fell behind and have
   room again read their next part of history (`portcast.runtime.catch_up`).
3. A topic is *held* while too much waits for the flush, or while a subscriber in its audience holds (its outbox is
   over the soft limit) and has not spent the topic's patience yet. Publishers ask `is_held` first and `wait_released`
   if so; see `portcast.runtime.turnstile` for how they are let in again.

Invariants: a held topic is looked at again after each flush, each change of standing and each review; what is pending
is never larger than the limits of `deliver` plus one run, because passing them flushes at once. Each publication is
counted once for each subscriber in its audience: ``delivered + dropped + waiting + behind``.

The hub knows no broker, no socket and no handler. It needs a loop for `time`, `call_soon` and `call_at` only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from portcast.brokers.base import Broker
from portcast.delivery import Batch, Encoding, FlushPacer, Loss, OutboxLimits, Sink, Standing
from portcast.events import Emit, SubscriberClosed, SubscriberOpened, SubscriberRefused
from portcast.publication import Run
from portcast.runtime.admission import Admission, too_many
from portcast.runtime.audience import Audiences
from portcast.runtime.catch_up import CatchUp
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.encoder import EncodedRun, Joined, grouped
from portcast.runtime.peers import host_of
from portcast.runtime.pending import Pending, is_pending, withdraw
from portcast.runtime.slow_consumers import LossCount, SlowConsumers
from portcast.runtime.statistics import HubStatistics
from portcast.runtime.subscriber import CLOSE_TRY_AGAIN, Subscriber
from portcast.runtime.turnstile import Turnstile
from portcast.topic_table import TopicTable

MESSAGES_PER_HARD = 64
"""Messages that may wait for the flush, in hard limits. Pacing lets a loaded hub collect far more than one client's
limit, and bytes bound it; empty messages have none."""


class Hub:
    """See the theory on top of the module. All methods are called on the loop that runs the app."""

    def __init__(
        self,
        clock: Clock,
        *,
        limits: OutboxLimits,
        flush_duty: float,
        topics: TopicTable,
        broker: Broker,
        budget_bytes: int,
        emit: Emit,
    ) -> None:
        """Prepare a hub without subscribers.

        Args:
            clock: the loop.
            limits: of each subscriber's outbox, and of what waits for the flush.
            flush_duty: largest share of the loop spent in flushing.
            topics: how each topic treats slow subscribers, and whether history has it.
            broker: has the history from which subscribers catch up.
            budget_bytes: most that may wait for all subscribers together.
            emit: takes what happens.
        """
        self._clock = clock
        self._limits = limits
        self._pacer = FlushPacer(flush_duty)
        self._emit = emit
        # Who listens to what.
        self._subscribers: set[Subscriber] = set()
        self._audiences = Audiences(topics)
        self._close_reason: str | None = None
        self.admission: Admission | None = None
        """How many there may be, in all and of one address; no limit if None. Set before anybody subscribes."""
        # What waits for the flush.
        self._pending: list[Pending] = []
        self._pending_bytes = self._pending_messages = 0
        self._flush_timer: Timer | None = None
        self._is_flushing = False
        # Who waits for topics to be free, and who holds them.
        self._turnstile = Turnstile(clock, self.is_held, lambda: limits.soft_messages - self._pending_messages)
        self._slow = SlowConsumers(
            clock,
            subscribers=self._subscribers,
            patiences=lambda: self._audiences.patiences,
            look_soon=self._turnstile.look_soon,
            budget_bytes=budget_bytes,
            emit=emit,
        )
        self._catch_up = CatchUp(clock, broker, self._slow)
        # Counters of subscribers that are gone, and of the hub itself.
        self._delivered = self._dropped = self._flushes = 0

    def now(self) -> float:
        """Return the time by which ages and allowances are measured: monotonic seconds."""
        return self._clock.time()

    # Subscribing

    def subscribe(
        self,
        filters: Sequence[str],
        encoding: Encoding,
        sink: Sink,
        *,
        transport: str,
        peer: str = "",
        bind: Callable[[Subscriber], object] = lambda owner: None,
    ) -> Subscriber:
        """Add a subscriber: it gets what is published from now on.

        It may be closed already when this returns: once `close` or `abort` was called, or if there are too many.

        Args:
            filters: valid topic filters; a publication that matches several arrives once.
            encoding: how publications are written for this client.
            sink: the way to it.
            transport: a word for events and the API: ``websocket``, ``sse``.
            peer: the client's address, for events.
            bind: called with the subscriber before the sink gets its first batch.
        """
        now = self._clock.time()
        subscriber = Subscriber(self, filters, encoding, sink, self._limits, now, transport=transport, peer=peer)
        bind(subscriber)
        if self.admission is not None and (reason := self.admission.refusal(host_of(peer), now)) is not None:
            self._emit(SubscriberRefused(transport, peer, too_many(reason)))
            subscriber.close(CLOSE_TRY_AGAIN, "too many subscribers")
            return subscriber
        self._subscribers.add(subscriber)
        self._audiences.add(subscriber)
        self._emit(SubscriberOpened(subscriber.id, transport, subscriber.filters, peer))
        if self._close_reason is not None:
            subscriber.close(subscriber.restart_code, self._close_reason)
            return subscriber
        self._slow.arm(now)
        return subscriber

    def refuses(self, transport: str, peer: str) -> bool:
        """Return True if `subscribe` would refuse a client now; for those that can be told before."""
        reason = self.admission.would_refuse(host_of(peer)) if self.admission is not None else None
        if reason is not None:
            self._emit(SubscriberRefused(transport, peer, too_many(reason)))
        return reason is not None

    def unsubscribe(self, subscriber: Subscriber, reason: str) -> None:
        """Remove a subscriber; what waits for it counts as dropped. Does nothing the second time."""
        if subscriber not in self._subscribers:
            return
        outbox = subscriber.outbox
        self._subscribers.discard(subscriber)
        if self.admission is not None:
            self.admission.left(host_of(subscriber.peer))
        self._catch_up.discard(subscriber)
        self._audiences.remove(subscriber)
        pending = sum(len(one.run) for one in self._pending if subscriber in one.topic.audience)
        outbox.refuse(pending)
        self._slow.forget(subscriber, outbox.discard() + pending)
        self._delivered += outbox.delivered
        self._dropped += outbox.dropped
        seconds, code = self._clock.time() - subscriber.opened_at, subscriber.close_code
        self._emit(
            SubscriberClosed(
                subscriber.id, subscriber.transport, reason, outbox.delivered, outbox.dropped, seconds, code
            )
        )
        self._turnstile.look_soon()

    def has_pending(self, subscriber: Subscriber) -> bool:
        """Return True if something waits for the flush that is for this subscriber."""
        return is_pending(self._pending, subscriber)

    def follow(self, subscriber: Subscriber, topic_filter: str, encoding: Encoding) -> None:
        """Add a filter to a subscriber: it gets what is published from now on.

        Nothing may be pending (`has_pending`) or queued (`Outbox.is_queue_empty`) for it. That would be encoded for the
        new filter, too, and if it fell behind, it would be read from history with what was published before now.

        Args:
            subscriber: not closed, without this filter.
            topic_filter: a valid topic or topic filter.
            encoding: of all its filters from now on.
        """
        assert subscriber.outbox.is_queue_empty, "what waits for it is from before"
        subscriber.filters = (*subscriber.filters, topic_filter)
        subscriber.encoding = encoding
        self._audiences.follow(subscriber, topic_filter)

    def unfollow(self, subscriber: Subscriber, topic_filter: str, encoding: Encoding) -> None:
        """Take a filter from a subscriber; nothing that only this filter matched is offered to it any more."""
        subscriber.filters = tuple(one for one in subscriber.filters if one != topic_filter)
        subscriber.encoding = encoding
        self._audiences.unfollow(subscriber, topic_filter)
        kept, dropped = withdraw(self._pending, subscriber)
        if dropped:
            subscriber.outbox.refuse(dropped)
            self._slow.note_loss(topic_filter, subscriber, "left", dropped)
        self._catch_up.unfollowed(subscriber, topic_filter, kept, self._clock.time())

    # Publishing

    def deliver(self, run: Run) -> None:
        """Take a run from the broker. The hub owns ``run.payloads`` from here on."""
        topic = self._audiences.of(run.topic)
        if not topic.audience:
            return
        self._pending_messages += len(run.payloads)
        self._pending_bytes += sum(map(len, run.payloads))
        last = self._pending[-1] if self._pending else None
        if last is not None and last.topic is topic and last.run.is_continued_by(run):
            last.run.payloads += run.payloads
        else:
            self._pending.append(Pending(run, topic))
        limits = self._limits
        if (
            self._pending_bytes > limits.hard_bytes or self._pending_messages > limits.hard_messages * MESSAGES_PER_HARD
        ) and not self._is_flushing:
            self.flush()
        elif self._flush_timer is None:
            self._flush_soon()

    def _flush_soon(self) -> None:
        if self._flush_timer is None:
            now = self._clock.time()
            delay = self._pacer.delay(now)
            self._flush_timer = (
                self._clock.call_soon(self.flush) if delay <= 0 else self._clock.call_at(now + delay, self.flush)
            )

    def is_held(self, name: str) -> bool:
        """True while publishers of this topic should wait: see `wait_released` and `when_released`."""
        if not self._pending_messages and not self._slow.holding:
            return False
        topic = self._audiences.of(name)
        audience, patience_s = topic.audience, topic.patience_s
        if not audience or patience_s <= 0:
            return False
        if self._pending_bytes > self._limits.soft_bytes or self._pending_messages > self._limits.soft_messages:
            return True
        if not self._slow.holding:
            return False
        now = self._clock.time()
        return any(one in audience and one.outbox.patience.spent(now) < patience_s for one in self._slow.holding)

    def when_released(self, name: str, callback: Callable[[], None]) -> None:
        """Call back once, on the loop and never from within this call, when the topic is not held.

        The callers of a topic are served in order, and each finds the topic as the one before has left it.
        """
        self._turnstile.wait(name, callback)

    async def wait_released(self, name: str) -> None:
        """Wait until the topic is not held. Cancelling leaves nothing behind but a callback that does nothing."""
        while self.is_held(name):
            future = asyncio.get_running_loop().create_future()
            self.when_released(name, lambda f=future: None if f.done() else f.set_result(None))  # type: ignore[misc]
            await future

    # Flushing

    def flush(self) -> None:
        """Offer everything pending to its audiences now. Does nothing when called from within itself."""
        if self._is_flushing:
            return
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        pending, self._pending = self._pending, []
        if not pending and not self._catch_up.is_needed:
            return
        self._pending_bytes = self._pending_messages = 0
        started = self._clock.time()
        self._is_flushing = True
        self._slow.defer()
        try:
            if pending:
                for joined, subscribers in grouped([EncodedRun(run, topic) for run, topic in pending]):
                    self._offer(joined, subscribers, started)
            # Not if a receiver of events has published meanwhile: what is pending is in history, too.
            if not self._pending:
                self._catch_up.rounds(started)
        finally:
            self._is_flushing = False
            self._slow.settle()
        self._flushes += 1
        self._pacer.flushed(started, self._clock.time())
        self._turnstile.look_soon()
        if self._catch_up.is_needed:
            self._flush_soon()

    def _offer(self, what: Joined, subscribers: Iterable[Subscriber], now: float) -> None:
        last = what.runs[-1].topic
        start = what.runs[0].run.start
        demoted = Standing.DEMOTED
        encoding: Encoding | None = None
        batch: Batch | None = None
        for subscriber in subscribers:
            if subscriber.is_closed:
                continue
            if subscriber.outbox.standing is demoted:
                for one in what.runs:
                    subscriber.offer_demoted(one, now)
                continue
            if subscriber.encoding is not encoding or batch is None:
                encoding = subscriber.encoding
                batch = what.batch(encoding)
            subscriber.offer(batch, last, start, now)

    def catch_up_soon(self, subscriber: Subscriber) -> None:
        """Read history for a subscriber that is behind and free, with the next flush."""
        self._catch_up.add(subscriber)
        if not self._is_flushing:
            self._flush_soon()

    # What subscribers tell

    def review(self, subscriber: Subscriber, now: float) -> None:
        """Bring the standing of one subscriber up to date and act on it."""
        self._slow.review(subscriber, now)

    def note_loss(self, topic: str, subscriber: Subscriber, reason: Loss, messages: int) -> None:
        """Count publications that were declared dropped."""
        self._slow.note_loss(topic, subscriber, reason, messages)

    # Ending

    @property
    def is_idle(self) -> bool:
        """True when nothing waits, neither for the flush nor for any subscriber."""
        return not self._pending and all(s.outbox.is_free and not s.outbox.behind for s in self._subscribers)

    @property
    def subscribers(self) -> Sequence[Subscriber]:
        """Those connected now."""
        return tuple(self._subscribers)

    def close(self, reason: str) -> None:
        """Say goodbye to every subscriber, and to whoever still comes, with 1012 (service restart).

        What is being written to a subscriber is finished; what is queued behind it is lost and counted, so wait for
        `is_idle` first.
        """
        self.flush()
        self._close_reason = reason
        for subscriber in list(self._subscribers):
            subscriber.sink.close(subscriber.restart_code, reason)

    def abort(self) -> None:
        """End every subscriber at once, stop all timers and let everybody go who waits."""
        if self._close_reason is None:
            self._close_reason = "server is stopping"
        for subscriber in list(self._subscribers):
            subscriber.abort("aborted")
        self._pending.clear()
        self._pending_bytes = self._pending_messages = 0
        self._turnstile.let_all_in()
        self._slow.stop()
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for the flush."""
        return self._pending_bytes

    def count(self, topic: str) -> int:
        """Return how many subscribers a topic has now."""
        return len(self._audiences.of(topic).audience)

    def statistics(self) -> HubStatistics:
        """Return a snapshot."""
        outboxes = [s.outbox for s in self._subscribers]
        pending = sum(len(run) * sum(not one.is_closed for one in topic.audience) for run, topic in self._pending)
        return HubStatistics(
            subscribers=len(outboxes),
            delivered=self._delivered + sum(o.delivered for o in outboxes),
            dropped=self._dropped + sum(o.dropped for o in outboxes),
            waiting=sum(o.waiting_messages for o in outboxes) + pending,
            behind=sum(o.behind for o in outboxes),
            flushes=self._flushes,
            slow=self._slow.slow,
            demoted=self._slow.demoted,
            removed=self._slow.removed,
        )

    def losses(self) -> list[LossCount]:
        """Return what was declared dropped since start, the largest first."""
        return self._slow.losses()
