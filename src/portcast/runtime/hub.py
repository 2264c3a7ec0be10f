"""Delivery inside one process: runs in, one batch per encoding out, once per tick.

The life of a publication here:

1. `deliver` notes the run with the *audience* of its topic at that moment. Consecutive runs of one topic merge.
   Because the audience is taken at publish time, whoever subscribes later does not get the run from here and may
   read it from history instead: there is no window in which something is lost or doubled.
2. At the end of the tick `flush` encodes each run once per encoding in use and offers the same batch to every
   subscriber (`portcast.delivery.Outbox` decides: written, held or gone). Nothing awaits while subscribers are walked.
3. A topic is *held* while too much waits for the flush, or while a subscriber in its audience holds (its outbox is
   over the soft limit and its patience lasts). Publishers ask `is_held` first and `wait_released` if so; they are let
   in again one by one, so that the second finds the topic held by the first.

Invariants: a held topic is looked at again after each flush and each change of standing; `_pending` is never larger
than the hard limit plus one run, because passing it flushes at once.

The hub knows no broker, no socket and no handler. It needs a loop for `time`, `call_soon` and `call_at` only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from portcast.config import TopicOptions
from portcast.delivery import Batch, Encoding, FlushPacer, OutboxLimits, Sink, SinkOwner, Standing
from portcast.events import Emit, SubscriberClosed, SubscriberDemoted, SubscriberOpened, SubscriberSlow
from portcast.publication import Run
from portcast.runtime.clock import Clock, Timer
from portcast.runtime.subscriber import CLOSE_RESTART, CLOSE_SLOW, Subscriber
from portcast.topics import SubscriptionIndex, matches

MAX_TOPIC_STATES = 65_536
"""Topics whose audience is remembered; past it the idle ones are forgotten and found again when needed."""


class _Topic:
    """What the hub remembers of one topic."""

    __slots__ = ("audience", "name", "options", "version", "waiters")

    def __init__(self, name: str, options: TopicOptions) -> None:
        self.name = name
        self.options = options
        self.audience: frozenset[Subscriber] = frozenset()
        self.version = -1
        self.waiters: deque[Callable[[], None]] = deque()


class _Pending:
    """A run that waits for the flush, with those who shall get it."""

    __slots__ = ("audience", "run")

    def __init__(self, run: Run, audience: frozenset[Subscriber]) -> None:
        self.run = run
        self.audience = audience


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """A snapshot of the hub.

    Attributes:
        subscribers: connected now.
        delivered: publications handed to clients' transports, all clients together, since start.
        dropped: publications that were waiting for a client when it was removed.
        waiting: publications that wait for clients now.
        flushes: how often the hub flushed.
        slow: how often a subscriber passed its soft limit.
        demoted: how often one used up its patience.
        removed: how many were removed as slow consumers.
    """

    subscribers: int
    delivered: int
    dropped: int
    waiting: int
    flushes: int
    slow: int
    demoted: int
    removed: int


class Hub:
    """See the theory on top of the module. All methods are called on the loop that runs the app."""

    def __init__(
        self,
        clock: Clock,
        *,
        limits: OutboxLimits,
        flush_duty: float,
        default: TopicOptions,
        topics: Mapping[str, TopicOptions],
        emit: Emit,
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._pacer = FlushPacer(flush_duty)
        self._default = default
        self._options = dict(topics)
        self._emit = emit
        # Who listens to what.
        self._index: SubscriptionIndex[Subscriber] = SubscriptionIndex()
        self._subscribers: set[Subscriber] = set()
        self._topics: dict[str, _Topic] = {}
        # What waits for the flush.
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._pending_messages = 0
        self._flush_timer: Timer | None = None
        # Who holds publishers, and the topics on which somebody waits for that.
        self._holding: set[Subscriber] = set()
        self._waited_for: dict[str, _Topic] = {}
        self._review_timer: Timer | None = None
        self._review_due = 0.0
        # Counters of subscribers that are gone, and of the hub itself.
        self._delivered = self._dropped = 0
        self._flushes = self._slow = self._demoted = self._removed = 0

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
        bind: Callable[[SinkOwner], object] = lambda owner: None,
        replay: Sequence[Batch] = (),
    ) -> Subscriber:
        """Add a subscriber and offer it ``replay`` before anything live.

        Args:
            filters: valid topic filters; a publication that matches several arrives once.
            encoding: how publications are written for this client.
            sink: the way to it.
            transport: a word for events and the API: ``websocket``, ``sse``.
            peer: the client's address, for events.
            bind: called with the subscriber before the sink gets its first batch.
            replay: history, read in the same tick as this call.
        """
        now = self._clock.time()
        subscriber = Subscriber(self, filters, encoding, sink, self._limits, now, transport=transport, peer=peer)
        subscriber.outbox.patience.full_s = self._default.patience_s
        bind(subscriber)
        self._subscribers.add(subscriber)
        for one in subscriber.filters:
            self._index.add(one, subscriber)
        self._emit(SubscriberOpened(subscriber.id, transport, subscriber.filters, peer))
        for batch in replay:
            subscriber.offer(batch, now)
        self._arm_review(now)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber, reason: str) -> None:
        """Remove a subscriber; what waits for it counts as dropped. Does nothing the second time."""
        if subscriber not in self._subscribers:
            return
        now = self._clock.time()
        self._subscribers.discard(subscriber)
        self._holding.discard(subscriber)
        for one in subscriber.filters:
            self._index.remove(one, subscriber)
        subscriber.outbox.discard()
        self._delivered += subscriber.outbox.delivered
        self._dropped += subscriber.outbox.dropped
        self._emit(
            SubscriberClosed(
                subscriber.id,
                subscriber.transport,
                reason,
                subscriber.outbox.delivered,
                subscriber.outbox.dropped,
                now - subscriber.opened_at,
            )
        )
        self._release()

    # Publishing

    def deliver(self, run: Run) -> None:
        """Take a run from the broker. The hub owns ``run.payloads`` from here on."""
        topic = self._topics.get(run.topic)
        if topic is None or topic.version != self._index.version:
            topic = self._look_up(run.topic)
        audience = topic.audience
        if not audience:
            return
        pending = self._pending
        last = pending[-1] if pending else None
        if last is not None and last.audience is audience and last.run.is_continued_by(run):
            last.run.payloads += run.payloads
        else:
            pending.append(_Pending(run, audience))
        self._pending_messages += len(run.payloads)
        self._pending_bytes += sum(map(len, run.payloads))
        if self._pending_bytes > self._limits.hard_bytes:
            self.flush()
        elif self._flush_timer is None:
            now = self._clock.time()
            delay = self._pacer.delay(now)
            self._flush_timer = (
                self._clock.call_soon(self.flush) if delay <= 0 else self._clock.call_at(now + delay, self.flush)
            )

    def _look_up(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            if len(self._topics) >= MAX_TOPIC_STATES:
                self._topics = dict(self._waited_for)
            topic = self._topics[name] = _Topic(name, self._options_of(name))
        if topic.version != self._index.version:
            audience = frozenset(self._index.match(name))
            if audience != topic.audience:
                topic.audience = audience
                patience = topic.options.patience_s
                for subscriber in audience:
                    if subscriber.outbox.patience.full_s < patience:
                        subscriber.outbox.patience.full_s = patience
            topic.version = self._index.version
        return topic

    def set_topic_options(self, topic_filter: str, options: TopicOptions) -> None:
        """Set how the topics of a filter treat slow consumers; the first filter that matches a topic counts."""
        self._options.setdefault(topic_filter, options)
        for topic in self._topics.values():
            topic.options = self._options_of(topic.name)

    def _options_of(self, name: str) -> TopicOptions:
        for one, options in self._options.items():
            if matches(one, name):
                return options
        return self._default

    def is_held(self, name: str) -> bool:
        """True while publishers of this topic should wait: see `wait_released` and `when_released`."""
        if not self._pending_messages and not self._holding:
            return False
        topic = self._look_up(name)
        if not topic.audience or topic.options.patience_s <= 0:
            return False
        if self._pending_bytes > self._limits.soft_bytes or self._pending_messages > self._limits.soft_messages:
            return True
        return bool(self._holding) and not self._holding.isdisjoint(topic.audience)

    def when_released(self, name: str, callback: Callable[[], None]) -> None:
        """Call back once, on the loop, when the topic is no longer held; callers are served in order, one at a time."""
        topic = self._look_up(name)
        topic.waiters.append(callback)
        self._waited_for[name] = topic

    async def wait_released(self, name: str) -> None:
        """Wait until the topic is not held. Cancelling leaves nothing behind but a callback that does nothing."""
        while self.is_held(name):
            future = asyncio.get_running_loop().create_future()
            self.when_released(name, lambda f=future: None if f.done() else f.set_result(None))  # type: ignore[misc]
            await future

    def _release(self) -> None:
        for name, topic in list(self._waited_for.items()):
            while topic.waiters and not self.is_held(name):
                topic.waiters.popleft()()
            if not topic.waiters:
                self._waited_for.pop(name, None)

    # Flushing

    def flush(self) -> None:
        """Offer everything pending to its audiences now."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        pending = self._pending
        if not pending:
            return
        self._pending = []
        self._pending_bytes = self._pending_messages = 0
        started = self._clock.time()
        for one in pending:
            run = one.run
            batches: dict[int, Batch] = {}
            for subscriber in one.audience:
                if subscriber.is_closed:
                    continue
                encoding = subscriber.encoding
                batch = batches.get(id(encoding))
                if batch is None:
                    batch = batches[id(encoding)] = encoding.encode(run)
                subscriber.offer(batch, started)
        self._flushes += 1
        ended = self._clock.time()
        self._pacer.flushed(started, ended)
        if self._waited_for:
            self._release()

    # Slow consumers

    def review(self, subscriber: Subscriber, now: float) -> None:
        """Bring the standing of one subscriber up to date and act on it."""
        outbox = subscriber.outbox
        before = outbox.standing
        standing = outbox.review(now)
        if standing is not before:
            if before is Standing.HEALTHY:
                self._slow += 1
                self._emit(SubscriberSlow(subscriber.id, outbox.waiting_messages, outbox.waiting_bytes))
            if standing is Standing.DEMOTED:
                self._demoted += 1
                self._emit(SubscriberDemoted(subscriber.id, outbox.waiting_messages, outbox.waiting_bytes))
            if standing is Standing.HOLDING:
                self._holding.add(subscriber)
                self._arm_review(now)
            else:
                self._holding.discard(subscriber)
                self._release()
        if reason := outbox.excess(now):
            self._removed += 1
            subscriber.close(CLOSE_SLOW, reason)

    def _arm_review(self, now: float) -> None:
        """See to it that ages and allowances are looked at in time: every second, sooner while somebody holds."""
        due = now + min([1.0, *(s.outbox.patience.remaining(now) for s in self._holding)]) + 0.001
        if self._review_timer is not None:
            if self._review_due <= due:
                return
            self._review_timer.cancel()
        self._review_due = due
        self._review_timer = self._clock.call_at(due, self._review_all)

    def _review_all(self) -> None:
        self._review_timer = None
        now = self._clock.time()
        for subscriber in list(self._subscribers):
            if subscriber.outbox.waiting_messages:
                self.review(subscriber, now)
        if self._subscribers:
            self._arm_review(now)

    # Ending

    @property
    def is_idle(self) -> bool:
        """True when nothing waits, neither for the flush nor for any subscriber."""
        return not self._pending and not any(s.outbox.waiting_messages for s in self._subscribers)

    @property
    def subscribers(self) -> Sequence[Subscriber]:
        """Those connected now."""
        return tuple(self._subscribers)

    def close(self, reason: str) -> None:
        """Say goodbye to every subscriber with 1012 (service restart); what waits for them is written first."""
        self.flush()
        for subscriber in list(self._subscribers):
            subscriber.sink.close(CLOSE_RESTART, reason)

    def abort(self) -> None:
        """End every subscriber at once and stop all timers."""
        for subscriber in list(self._subscribers):
            subscriber.abort("aborted")
        for timer in (self._flush_timer, self._review_timer):
            if timer is not None:
                timer.cancel()
        self._flush_timer = self._review_timer = None
        for topic in list(self._waited_for.values()):
            while topic.waiters:
                topic.waiters.popleft()()
        self._waited_for.clear()

    def count(self, topic: str) -> int:
        """Return how many subscribers a topic has now."""
        return len(self._look_up(topic).audience)

    def statistics(self) -> HubStatistics:
        """Return a snapshot."""
        outboxes = [s.outbox for s in self._subscribers]
        return HubStatistics(
            subscribers=len(outboxes),
            delivered=self._delivered + sum(o.delivered for o in outboxes),
            dropped=self._dropped + sum(o.dropped for o in outboxes),
            waiting=sum(o.waiting_messages for o in outboxes) + self._pending_messages,
            flushes=self._flushes,
            slow=self._slow,
            demoted=self._demoted,
            removed=self._removed,
        )
