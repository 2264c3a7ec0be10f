"""The store: the rings of all topics, within the budgets of the process.

Theory. Two ordered dicts, both from the topic published to longest ago to the newest:

* ``_rings``: every topic whose position is known, bounded by ``max_topics`` and ``idle_s``. Because sequences are
  node-wide, this is also the order of ``last_sequence``: what changed since a sequence is found from the newest end,
  without visiting the rest.
* ``_holders``: those that may hold history (all that do, and some that have expired since), bounded by
  ``total_bytes`` over the rings' charges. The oldest loses its history whole; its position stays. There is one such
  dict for each age that some topic's history may reach, so that in each the oldest is the next to expire; there are
  as many ages as the configuration has, a handful.

Each publication moves its topic to the end of both, and pays for at most one later eviction: O(1) amortised.

Epochs. Positions are compared per topic, so topics may share an epoch; what matters is that no topic ever gets one
again that it had in an earlier life. Topics are created in the current epoch, and it is renewed when a topic *of the
current epoch* is forgotten: whoever is forgotten always comes back in a later one. So the epoch of a topic is known
before its first publication, and a subscriber that came first can later resume from offset 0.

The store does not number publications across topics and knows no filters: the broker does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from portcast.history.limits import HistoryLimits
from portcast.history.ring import Ring
from portcast.history.snapshot import RingState
from portcast.publication import Meta

_SWEEP_S = 1.0
"""Time between two sweeps. History is exact without them: they only give memory back."""

_SWEEP_TOPICS = 256
"""Topics per sweep, about 0.5 ms. If more are due, the next publication goes on with them."""


class HistoryStore:
    """Keeps one `Ring` per topic and lets go of the oldest when a budget is spent.

    Attributes:
        next_epoch: the epoch that a topic gets if it is created now.
        forgotten_sequence: the highest sequence of any forgotten topic; 0 if none was. A position before it may have
            missed publications that nobody can count any more.
        charge: bytes in use of ``total_bytes``.
    """

    __slots__ = (
        "_holders",
        "_limits",
        "_limits_of",
        "_new_epoch",
        "_newest",
        "_rings",
        "_sweep_at",
        "charge",
        "forgotten_sequence",
        "next_epoch",
    )

    def __init__(
        self,
        limits: HistoryLimits,
        new_epoch: Callable[[], str],
        limits_of: Callable[[str], HistoryLimits] | None = None,
    ) -> None:
        """Make a store without topics.

        Args:
            limits: the budgets of the process, and the limits per topic.
            new_epoch: makes the names of epochs.
            limits_of: gives the limits of a new topic instead of ``limits``; asked once, when it is created.
        """
        self._limits = limits
        self._limits_of = limits_of
        self._new_epoch = new_epoch
        self.next_epoch = new_epoch()
        self._rings: OrderedDict[str, Ring] = OrderedDict()
        self._holders: dict[float, OrderedDict[str, Ring]] = {}
        # The ring at the end of both dicts, if that is certain: it need not be moved there again.
        self._newest: Ring | None = None
        self._sweep_at = float("-inf")
        self.forgotten_sequence = 0
        self.charge = 0

    def __len__(self) -> int:
        return len(self._rings)

    def get(self, topic: str) -> Ring | None:
        """Return the ring of a known topic, or None."""
        return self._rings.get(topic)

    def create(self, topic: str, now: float) -> Ring:
        """Return a new ring for a topic that is not known; forget the oldest topic if there are too many.

        Args:
            topic: a valid topic that `get` does not know.
            now: the monotonic time.
        """
        while len(self._rings) >= self._limits.max_topics:
            self._forget_oldest()
        limits = self._limits if self._limits_of is None else self._limits_of(topic)
        ring = self._rings[topic] = Ring(topic, self.next_epoch, limits, now)
        return ring

    def append(
        self, ring: Ring, payloads: list[bytes], first_sequence: int, now: float, meta: Meta | None = None
    ) -> None:
        """Append to a ring (see `Ring.append`) and keep to the budgets.

        Args:
            ring: one that this store returned and still knows.
            payloads: consecutive messages, at least one.
            first_sequence: above every sequence that the store has seen.
            now: the monotonic time.
            meta: of all of them.
        """
        before = ring.charge
        ring.append(payloads, first_sequence, now, meta)
        topic = ring.topic
        if ring is not self._newest:
            self._rings.move_to_end(topic)
            if ring.charge:
                self._hold(ring)
            self._newest = ring if ring.charge else None
        if ring.charge:
            self.charge += ring.charge - before
            if self.charge > self._limits.total_bytes:
                self._evict(ring)
        else:
            self.charge -= before
        if now >= self._sweep_at:
            self._sweep(now)

    def _hold(self, ring: Ring) -> None:
        """Note the ring as the newest that holds history."""
        age_s = ring.limits.age_s
        holders = self._holders.get(age_s)
        if holders is None:
            holders = self._holders[age_s] = OrderedDict()
        holders[ring.topic] = ring
        holders.move_to_end(ring.topic)

    def refresh(self, ring: Ring, now: float) -> None:
        """Let go of what is too old in one ring; to be called before it is read."""
        before = ring.charge
        if before:
            ring.expire(now)
            self.charge += ring.charge - before

    def newest_first(self) -> Iterator[Ring]:
        """Iterate over all rings by falling ``last_sequence``. Only `refresh` may be called meanwhile."""
        return reversed(self._rings.values())

    def states(self) -> tuple[RingState, ...]:
        """Return what makes all rings, by rising ``last_sequence``; to be read at once."""
        return tuple(ring.state() for ring in self._rings.values())

    def restore(self, states: Sequence[RingState], next_epoch: str, forgotten_sequence: int, now: float) -> None:
        """Go on where another store has ended, within the limits of this one, which must be empty.

        Args:
            states: by rising ``last_sequence``.
            next_epoch: that store's.
            forgotten_sequence: that store's.
            now: the monotonic time.
        """
        self.next_epoch, self.forgotten_sequence = next_epoch, forgotten_sequence
        ring: Ring | None = None
        for state in states:
            limits = self._limits if self._limits_of is None else self._limits_of(state.topic)
            ring = self._rings[state.topic] = Ring.restored(state, limits, now)
            if ring.charge:
                self._hold(ring)
                self.charge += ring.charge
        while len(self._rings) > self._limits.max_topics:
            self._forget_oldest()
        if ring is not None and self.charge > self._limits.total_bytes:
            self._evict(ring)

    def clear(self) -> None:
        """Forget every topic."""
        while self._rings:
            self._forget_oldest()

    def _evict(self, newest: Ring) -> None:
        """Let go of histories, the oldest first, until the budget is kept."""
        self._newest = None
        while self.charge > self._limits.total_bytes:
            oldest = min(filter(None, map(_first, self._holders.values())), key=_last_sequence)
            del self._holders[oldest.limits.age_s][oldest.topic]
            self.charge -= oldest.charge
            if oldest is newest:
                # It alone is over the budget: cut it, or it would lose everything each time that it fills up.
                newest.shrink(self._limits.total_bytes)
                self.charge += newest.charge
                if newest.charge:
                    self._hold(newest)
            else:
                oldest.clear()

    def _forget_oldest(self) -> None:
        self._newest = None
        topic, ring = self._rings.popitem(last=False)
        if (holders := self._holders.get(ring.limits.age_s)) is not None:
            holders.pop(topic, None)
        self.charge -= ring.charge
        self.forgotten_sequence = max(self.forgotten_sequence, ring.last_sequence)
        if ring.epoch == self.next_epoch:
            self.next_epoch = self._new_epoch()

    def _sweep(self, now: float) -> None:
        """Give back histories that are all too old, then topics that are idle."""
        left = _SWEEP_TOPICS
        for age_s, holders in self._holders.items():
            while left and (ring := _first(holders)) is not None and ring.published_at < now - age_s:
                left -= 1
                self._newest = None
                del holders[ring.topic]
                self.charge -= ring.charge
                ring.clear()
        while left and (ring := _first(self._rings)) is not None:
            # One that is kept for longer keeps those after it: topics are forgotten in the order of their sequences.
            if ring.published_at >= now - max(self._limits.idle_s, ring.limits.age_s):
                break
            left -= 1
            self._forget_oldest()
        if left:
            self._sweep_at = now + _SWEEP_S


def _first(rings: OrderedDict[str, Ring]) -> Ring | None:
    return next(iter(rings.values()), None)


def _last_sequence(ring: Ring) -> int:
    return ring.last_sequence
