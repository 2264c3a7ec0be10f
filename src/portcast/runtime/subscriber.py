"""One subscriber connection: joins its outbox (pure) to its sink (the way out)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Protocol

from portcast.delivery import Batch, Encoding, Outbox, OutboxLimits, Sink, Standing

CLOSE_RESTART = 1012
"""RFC 6455 registry, "service restart": the client should come back."""
CLOSE_SLOW = 3008
"""Centrifuge's "slow": the client may come back."""

_ids = count(1)


class SubscriberHub(Protocol):
    """The part of the hub that a subscriber needs."""

    def review(self, subscriber: Subscriber, now: float) -> None:
        """Look at the subscriber's standing."""
        ...

    def unsubscribe(self, subscriber: Subscriber, reason: str) -> None:
        """Forget the subscriber."""
        ...

    def now(self) -> float:
        """Return monotonic seconds."""
        ...


class Subscriber:
    """One client's interest and what waits for it. Made by `Hub.subscribe`."""

    __slots__ = (
        "_hub",
        "close_reason",
        "encoding",
        "filters",
        "id",
        "is_closed",
        "opened_at",
        "outbox",
        "peer",
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
        self.is_closed = False
        self.close_reason = ""

    def offer(self, batch: Batch, now: float) -> None:
        """Give a batch to the client, now or when it has taken what came before. Does nothing once closed."""
        if self.is_closed:
            return
        outbox = self.outbox
        if outbox.offer(batch, now):
            self.sink.write(batch)
        if outbox.is_over_soft or outbox.standing is not Standing.HEALTHY:
            self._hub.review(self, now)

    def on_written(self, count: int, size: int) -> None:
        """See `SinkOwner.on_written`."""
        if self.is_closed:
            return
        self.outbox.wrote(count, size)
        self._got_on()

    def on_drained(self) -> None:
        """See `SinkOwner.on_drained`."""
        if self.is_closed:
            return
        batch = self.outbox.next()
        if batch is not None:
            self.sink.write(batch)
        self._got_on()

    def _got_on(self) -> None:
        if self.outbox.standing is not Standing.HEALTHY:
            now = self._hub.now()
            self.outbox.patience.progress(now)
            self._hub.review(self, now)

    def close(self, code: int, reason: str) -> None:
        """Remove the subscriber and close its connection with a code and reason; what waits is dropped and counted."""
        if not self.is_closed:
            self.is_closed = True
            self.close_reason = reason
            self._hub.unsubscribe(self, reason)
            self.sink.close(code, reason)

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
