"""One subscriber connection: joins its outbox (pure) to its sink (the way out)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Protocol, cast

from portcast.delivery import Batch, Encoding, Loss, Outbox, OutboxLimits, Policy, Sink, Standing
from portcast.publication import Mark
from portcast.runtime.audience import Topic
from portcast.runtime.conflation import Conflation, TellsConflated
from portcast.runtime.encoder import EncodedRun

CLOSE_RESTART = 1012
"""RFC 6455 registry, "service restart": the client should come back."""
CLOSE_TRY_AGAIN = 1013
"""RFC 6455 registry, "try again later"."""
CLOSE_SHUTDOWN = 3001
"""Centrifuge's "shutdown": the same to an SDK."""
CLOSE_SLOW = 3008
"""Centrifuge's "slow": the client may come back."""

LOSSY: frozenset[Policy] = frozenset({"latest", "latest_per_key", "drop_oldest", "drop_newest"})
"""Policies under which a client loses publications and goes on."""

_ids = count(1)


class SubscriberHub(Protocol):
    """The part of the hub that a subscriber needs."""

    def review(self, subscriber: Subscriber, now: float) -> None:
        """Look at the subscriber's standing."""
        ...

    def catch_up_soon(self, subscriber: Subscriber) -> None:
        """Read history for the subscriber with the next flush."""
        ...

    def unsubscribe(self, subscriber: Subscriber, reason: str) -> None:
        """Forget the subscriber."""
        ...

    def note_loss(self, topic: str, subscriber: Subscriber, reason: Loss, messages: int) -> None:
        """Count publications that were declared dropped."""
        ...

    def now(self) -> float:
        """Return monotonic seconds."""
        ...


class Follower(Protocol):
    """A connection whose filters change while it lives; see `Hub.follow`. Called on the loop."""

    def has_room(self) -> None:
        """Take note that nothing is held back for the client any more; may be called without a change."""
        ...

    def overtaken(self, topic_filter: str) -> None:
        """Take note that history has lost what the client had not got of a filter: `Hub.unfollow` it, and tell."""
        ...

    def ended(self, reason: str) -> None:
        """Take note that the connection is gone; called once."""
        ...


class Subscriber:
    """One client's interest and what waits for it. Made by `Hub.subscribe`."""

    __slots__ = (
        "__weakref__",
        "_buffered",
        "_conflation",
        "_hub",
        "_is_closing",
        "_needs_all",
        "close_code",
        "close_reason",
        "encoding",
        "filters",
        "follower",
        "id",
        "is_closed",
        "opened_at",
        "outbox",
        "peer",
        "restart_code",
        "sink",
        "transport",
    )

    def __init__(
        self,
        hub: SubscriberHub,
        filters: Sequence[str],
        encoding: Encoding,
        sink: Sink,
        limits: OutboxLimits,
        now: float,
        *,
        transport: str,
        peer: str,
    ) -> None:
        self._hub = hub
        self.id = f"s{next(_ids):x}"
        self.filters = tuple(dict.fromkeys(filters))
        self.encoding = encoding
        self.sink = sink
        self.outbox = Outbox(limits, now)
        self.transport = transport
        self.peer = peer
        self.opened_at = now
        self._is_closing = False
        self.is_closed = False
        self.close_code = 0
        self.close_reason = ""
        self._buffered = 0
        # For connections that subscribe and unsubscribe while they live.
        self.follower: Follower | None = None
        self.restart_code = CLOSE_RESTART
        self._needs_all = False
        # What it was not sent of each key, once it conflates and can be told.
        self._conflation: Conflation | None = None

    # What the hub calls

    def offer(self, batch: Batch, topic: Topic, start: Mark, now: float) -> None:
        """Give a batch to the client, now or when it has taken what came before; for one that is not demoted."""
        outbox = self.outbox
        if outbox.is_free:
            if self.sink.write(batch):
                outbox.delivered += batch.messages
                return
            outbox.policy = self._policy(topic)
            outbox.begin(batch, now)
            self._buffered = self.sink.buffered
        else:
            if outbox.is_queue_empty and outbox.standing is Standing.HEALTHY:
                outbox.policy = self._policy(topic)
            outbox.queue(batch, now, start)
        if outbox.is_over_soft if outbox.standing is Standing.HEALTHY else outbox.is_over_hard:
            self._hub.review(self, now)

    def _policy(self, topic: Topic) -> Policy:
        return "catch_up" if self._needs_all and topic.policy in LOSSY else topic.policy

    def need_all(self) -> None:
        """Let it catch up where it would lose something in silence: what it is sent builds on what came before.

        To be called while nothing is queued for it.
        """
        self._needs_all = True
        if self.outbox.policy in LOSSY:
            self.outbox.policy = "catch_up"

    def offer_demoted(self, encoded: EncodedRun, now: float) -> None:
        """Give a run to a client that is demoted, as its policy says.

        Its sink is busy: who is demoted and has nothing waiting is healthy again at once, or behind.
        """
        outbox, run = self.outbox, encoded.run
        policy = outbox.policy
        if policy == "catch_up":
            outbox.fall_behind(len(run), run.start)
        elif policy in ("latest", "latest_per_key"):
            self._lost(run.topic, "conflated", self._keep_latest(encoded, now))
        elif policy == "drop_newest" and outbox.is_full:
            outbox.refuse(len(run))
            self._lost(run.topic, "newest", len(run))
        else:
            outbox.queue(encoded.batch(self.encoding), now, run.start)
            if policy == "drop_oldest":
                self._lost(run.topic, "oldest", outbox.drop_oldest())
        self._hub.review(self, now)

    def _lost(self, topic: str, reason: Loss, messages: int) -> None:
        if messages:
            self._hub.note_loss(topic, self, reason, messages)

    def _keep_latest(self, encoded: EncodedRun, now: float) -> int:
        outbox = self.outbox
        newest = self._newest(encoded, is_per_key=outbox.policy == "latest_per_key")
        lost = len(encoded.run) - len(newest)
        outbox.refuse(lost)
        for key, batch in newest.items():
            lost += outbox.keep_latest(f"{encoded.run.topic}\n{key}", batch, now, encoded.run.start)
        return lost

    def _newest(self, encoded: EncodedRun, *, is_per_key: bool) -> dict[str, Batch]:
        encoding = self.encoding
        if not hasattr(encoding, "conflated"):
            return encoded.newest(encoding, is_per_key=is_per_key)
        if self._conflation is None:
            self._conflation = Conflation(self.outbox.limits.soft_messages)
        told, run, conflation = cast("TellsConflated", encoding), encoded.run, self._conflation
        return {
            key: conflation.batch(f"{run.topic}\n{key}", run.only(one.at), one.gave_way, told)
            for key, one in encoded.indices(is_per_key=is_per_key).items()
        }

    def replay(self, batch: Batch | None, more: int, position: Mark | None, now: float) -> None:
        """Begin with history, in the step in which it subscribed.

        Args:
            batch: what to write first. Published before the subscriber came, it counts neither as delivered nor as
                waiting.
            more: publications that history holds beyond that; they follow in rounds, and count as behind.
            position: where they begin; needed if there are any.
            now: monotonic seconds.
        """
        if batch is not None:
            self.write(Batch(batch.items, 0, 0), now)
        if more and position is not None:
            self.outbox.start_behind(more, position)
            if self.outbox.is_free:
                self._hub.catch_up_soon(self)

    def write(self, batch: Batch, now: float) -> bool:
        """Write a batch that does not come from the flush; return True if the sink, which must be free, still is."""
        if self.sink.write(batch):
            self.outbox.delivered += batch.messages
            return True
        self.outbox.begin(batch, now)
        self._buffered = self.sink.buffered
        return False

    def demoted(self) -> None:
        """Begin with the policy: what is queued already falls behind or is dropped, where the policy says so."""
        outbox = self.outbox
        if outbox.policy == "catch_up":
            outbox.queue_falls_behind()
        elif outbox.policy == "drop_oldest":
            self._lost(self.first_filter, "oldest", outbox.drop_oldest())

    @property
    def first_filter(self) -> str:
        """The filter under which losses are counted that belong to no topic; empty if it has none."""
        return self.filters[0] if self.filters else ""

    def look_for_progress(self, now: float) -> None:
        """Note if the kernel has taken something since the last look."""
        buffered = self.sink.buffered
        if buffered < self._buffered:
            self.outbox.progress(now)
        self._buffered = buffered

    # What the sink calls

    def on_written(self, count: int, size: int) -> None:
        """See `SinkOwner.on_written`."""
        if self.is_closed:
            return
        now = self._hub.now()
        self.outbox.wrote(count, size, now)
        self._got_on(now)

    def on_drained(self) -> None:
        """See `SinkOwner.on_drained`."""
        if self.is_closed:
            return
        outbox = self.outbox
        now = self._hub.now()
        batch = outbox.next(now)
        while batch is not None and self.sink.write(batch):
            batch = outbox.next(now)
        self._buffered = self.sink.buffered
        if batch is None and outbox.behind:
            self._hub.catch_up_soon(self)
        self._got_on(now)
        if self.follower is not None and outbox.is_free and not outbox.behind and not self.is_closed:
            self.follower.has_room()

    def _got_on(self, now: float) -> None:
        if self.outbox.standing is not Standing.HEALTHY and not self._is_closing:
            self._hub.review(self, now)

    # Ending

    def close(self, code: int, reason: str) -> None:
        """Remove the subscriber and close its connection with a code and reason; what waits is dropped and counted."""
        if not self.is_closed and not self._is_closing:
            # The sink first: it tells what it has taken of the batch being written. That changes nothing any more.
            self._is_closing = True
            self.close_code = code
            self.sink.close(code, reason)
            self.ended(reason)

    def abort(self, reason: str) -> None:
        """Remove the subscriber and end its connection at once."""
        self.ended(reason)
        self.sink.abort()

    def ended(self, reason: str) -> None:
        """Note that the connection is gone. Does nothing the second time."""
        if not self.is_closed:
            self.is_closed = True
            self.close_reason = reason
            self._hub.unsubscribe(self, reason)
            if self.follower is not None:
                self.follower.ended(reason)
