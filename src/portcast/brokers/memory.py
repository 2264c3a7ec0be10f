"""The broker of a single process: numbers and history in memory, delivery to the one hub there is.

With a `portcast.brokers.state_file.StateFile` an orderly stop leaves both to the next process.

Theory. Two numberings run side by side. Each topic counts its own publications (epoch, offset): gaps on one topic are
counted exactly. The node counts all publications (node epoch, sequence): it orders topics among each other, and lets a
subscription with wildcards resume with a single number.

What is gone is known per ring (`portcast.history.ring`), and for forgotten topics by the highest sequence among them.
From that, `MemoryBroker.recover` answers in one of three ways: exactly; with a lower bound of at least 1, when
something is gone and cannot be counted; and, when the position means nothing here, with all there is and 1.
It never answers 0 unless nothing was lost.

`MemoryBroker.publish_nowait` is the hot path: a fixed number of Python steps per call, whatever the batch.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace

from portcast.brokers.base import Deliver, Recovery, TopicInfo, is_single_topic, parse_resume_id
from portcast.brokers.state_file import StateFile
from portcast.history import HistoryLimits, HistoryStore, Ring
from portcast.history.snapshot import Snapshot
from portcast.publication import Meta, Position, Publication, Run
from portcast.topics import SubscriptionIndex, is_wildcard, validate_topic


def random_epoch() -> str:
    """Return 8 random characters from ``A-Z a-z 0-9 - _``: 48 bits, so that a restart never repeats an epoch."""
    return secrets.token_urlsafe(6)


class MemoryBroker:
    """A `portcast.brokers.Broker` that lives in this process, and forgets everything when it ends without a state file.

    Args:
        limits: how much history is kept.
        new_epoch: makes the names of numberings; must not return the same one twice.
        limits_of: gives the limits of a topic; None if those per topic in ``limits`` hold for all.
        state: keeps positions and history from `stop` to the next `start`.
    """

    def __init__(
        self,
        limits: HistoryLimits | None = None,
        new_epoch: Callable[[], str] = random_epoch,
        limits_of: Callable[[str], HistoryLimits] | None = None,
        state: StateFile | None = None,
    ) -> None:
        self._store = HistoryStore(limits or HistoryLimits(), new_epoch, limits_of)
        self._deliver: Deliver = _discard
        self._state = state
        self._is_started = False
        self._node_epoch = new_epoch()
        # Sequence of the newest publication, and of the newest on a '$…' topic, which '#' does not match.
        self._sequence = 0
        self._system_sequence = 0

    def bind(self, deliver: Deliver) -> None:
        """Set where runs go. Called once, before `start`; until then they go to history only."""
        self._deliver = deliver

    async def start(self) -> None:
        """Go on where the last process ended, if a state file says where; to be called before anything is published.

        Reads the file at once. Cancellation leaves nothing behind.

        Raises:
            ConfigurationError: the state file's directory cannot be used.
        """
        if self._state is None:
            return
        self._state.prepare()
        self._is_started = True
        now = asyncio.get_running_loop().time()
        snapshot = self._state.take(now)
        if snapshot is not None:
            self._node_epoch = snapshot.node_epoch
            self._sequence, self._system_sequence = snapshot.sequence, snapshot.system_sequence
            self._store.restore(snapshot.rings, snapshot.next_epoch, snapshot.forgotten_sequence, now)

    async def stop(self) -> None:
        """Write the state file, if there is one, and forget every topic; nothing is delivered afterwards.

        Writes the file at once. Cancellation leaves nothing behind.
        """
        self._deliver = _discard
        # Once, and not without a start: that would put nothing in the place of what another process has left.
        if self._state is not None and self._is_started:
            store = self._store
            self._state.save(
                Snapshot(
                    self._node_epoch,
                    self._sequence,
                    self._system_sequence,
                    store.next_epoch,
                    store.forgotten_sequence,
                    store.states(),
                ),
                asyncio.get_running_loop().time(),
            )
        self._is_started = False
        self._store.clear()

    def publish_nowait(self, topic: str, payloads: Sequence[bytes], now: float, meta: Meta | None = None) -> Position:
        """Publish consecutive messages on one topic and return the position of the last. Never waits.

        The hub is called last, when the publications are in history already, with a list of its own.

        Args:
            topic: any text; one that is not known yet is validated.
            payloads: the messages; none at all changes nothing.
            now: the monotonic time.
            meta: what else is known of them, kept and delivered with each.

        Raises:
            TopicError: the topic breaks the rules of `portcast.topics.validate_topic`; nothing is published then.
        """
        store = self._store
        ring = store.get(topic)
        fresh = list(payloads)
        if ring is None:
            validate_topic(topic)
            if not fresh:
                return self.position(topic)
            ring = store.create(topic, now)
        elif not fresh:
            return ring.position
        first_offset = ring.last_offset + 1
        first_sequence = self._sequence + 1
        previous = ring.newest
        count = len(fresh)  # now: the hub may extend the list
        self._sequence += count
        if topic[0] == "$":
            self._system_sequence = self._sequence
        store.append(ring, fresh, first_sequence, now, meta)
        self._deliver(Run(topic, ring.epoch, first_offset, first_sequence, now, fresh, meta, previous))
        return Position(ring.epoch, first_offset + count - 1)

    def topics(self, topic_filter: str, now: float) -> list[TopicInfo]:
        """Return the known topics that match the filter, by name."""
        found: list[TopicInfo] = []
        for ring in self._matching([topic_filter], 0):
            self._store.refresh(ring, now)
            found.append(TopicInfo(ring.topic, ring.position, ring.retained, ring.retained_bytes, ring.published_at))
        return sorted(found, key=_name)

    def retained_bytes(self) -> int:
        """See `Broker.retained_bytes`: what counts for ``total_bytes``."""
        return self._store.charge

    def position(self, topic: str) -> Position:
        """Return the position of the newest publication of ``topic``.

        For a topic that is not known it is offset 0 of the epoch that the topic would get now, so that a subscriber
        that is there before the first publication can resume without a gap.
        """
        ring = self._store.get(topic)
        return Position(self._store.next_epoch, 0) if ring is None else ring.position

    def history(
        self, topic: str, *, since: Position | None, limit: int, is_reverse: bool, now: float
    ) -> list[Publication]:
        """Return up to ``limit`` retained publications of one topic; see `portcast.brokers.Broker.history`."""
        ring = self._store.get(topic)
        if ring is None:
            return []
        self._store.refresh(ring, now)
        return ring.read(since, limit, is_reverse=is_reverse)

    def latest(self, filters: Sequence[str], limit: int, now: float) -> list[Publication]:
        """Return the newest ``limit`` retained publications over all topics that match, oldest first."""
        # A heap of runs by sequence, holding just enough of the newest to make up `limit`.
        heap: list[tuple[int, Run]] = []
        held = 0
        for ring in self._matching(filters, 0):
            if held >= limit and (not heap or ring.last_sequence < heap[0][0]):
                break  # so are all that follow
            self._store.refresh(ring, now)
            for run in ring.runs_after(heap[0][0] if heap and held >= limit else 0):
                heappush(heap, (run.first_sequence, run))
                held += len(run)
                while held - len(heap[0][1]) >= limit:
                    held -= len(heappop(heap)[1])
        found: list[Publication] = []
        for _, run in sorted(heap):
            found += run.publications()
        return found[-limit:] if limit > 0 else []

    def recover(self, filters: Sequence[str], since: str, limit: int, now: float) -> Recovery:
        """Return what was published on the matching topics after ``since``; see `portcast.brokers.Broker.recover`.

        An offset can only be resumed by the one topic that it counts; a sequence by any filters. A position that lies
        in the future is one that cannot be read.

        Args:
            filters: valid topic filters.
            since: whatever a client sent.
            limit: 0 or less gives none.
            now: the monotonic time.
        """
        point = parse_resume_id(since)
        if point and not point.is_sequence and is_single_topic(filters):
            position = self.position(filters[0])
            if point.epoch == position.epoch and point.number <= position.offset:
                return self._recover_topic(filters[0], point.number, limit, now)
        elif point and point.is_sequence and point.epoch == self._node_epoch and point.number <= self._sequence:
            return self._recover_after(filters, point.number, limit, now)
        everything = self._recover_after(filters, 0, limit, now)
        return Recovery(everything.publications, max(1, everything.missed), False, everything.more)

    def node_epoch(self) -> str:
        """The epoch of this node's sequence numbers."""
        return self._node_epoch

    def _recover_topic(self, topic: str, offset: int, limit: int, now: float) -> Recovery:
        """Resume one topic after an offset of its epoch; always exact."""
        ring = self._store.get(topic)
        if ring is None:
            return Recovery([], 0, True)
        self._store.refresh(ring, now)
        found = ring.after(offset, limit)
        missed = max(0, ring.evicted_offset - offset)
        return Recovery(found, missed, True, ring.last_offset - offset - missed - len(found))

    def _recover_after(self, filters: Sequence[str], sequence: int, limit: int, now: float) -> Recovery:
        """Resume any filters after a sequence of this node."""
        # What is held and what is missed is counted per topic; only what is returned is visited.
        begins: list[tuple[int, int, Ring]] = []
        held = missed = 0
        is_exact = True
        for ring in self._matching(filters, sequence):
            self._store.refresh(ring, now)
            lost, is_known = ring.missed_after_sequence(sequence)
            missed += lost
            is_exact = is_exact and is_known
            index, number = ring.place_after(sequence)
            held += number
            if (run := ring.run(index)) is not None:
                begins.append((run.first_sequence, index, ring))
        found = _merged(begins, sequence, limit)
        more = held - len(found)
        if "#" in filters and self._system_sequence <= sequence:
            # Everything published since matches, so the node's own count is the answer.
            return Recovery(found, self._sequence - sequence - held, True, more)
        if self._may_have_forgotten(filters, sequence):
            return Recovery(found, max(1, missed), False, more)
        return Recovery(found, missed, is_exact, more)

    def _may_have_forgotten(self, filters: Sequence[str], sequence: int) -> bool:
        """Return True if a topic that matched may have been forgotten with publications after ``sequence``.

        Forgotten names are not kept, so any wildcard may have matched one. That seldom cries wolf: topics are forgotten
        in the order of their last publications, so only a position older than all known topics' is concerned.
        """
        if sequence >= self._store.forgotten_sequence:
            return False
        for topic_filter in filters:
            ring = self._store.get(topic_filter)
            if is_wildcard(topic_filter) or ring is None or ring.first_sequence > sequence:
                return True
        return False

    def _matching(self, filters: Sequence[str], sequence: int) -> Iterator[Ring]:
        """Yield the rings of matching topics that were published to after ``sequence``, the newest first."""
        if not any(map(is_wildcard, filters)):
            known = {topic: ring for topic in filters if (ring := self._store.get(topic)) is not None}
            newest_first = sorted(known.values(), key=_last_sequence, reverse=True)
            yield from (ring for ring in newest_first if ring.last_sequence > sequence)
            return
        is_match = _matcher(filters)
        for ring in self._store.newest_first():
            if ring.last_sequence <= sequence:
                return
            if is_match(ring.topic):
                yield ring


def _matcher(filters: Sequence[str]) -> Callable[[str], bool]:
    """Return a test for topics whose cost does not grow with the number of filters."""
    if list(filters) == ["#"]:
        return lambda topic: topic[0] != "$"
    index: SubscriptionIndex[bool] = SubscriptionIndex()
    for topic_filter in filters:
        index.add(topic_filter, True)
    return lambda topic: bool(index.match(topic))


def _merged(begins: list[tuple[int, int, Ring]], sequence: int, limit: int) -> list[Publication]:
    """Return the oldest ``limit`` publications after ``sequence``.

    Args:
        begins: a run of each ring to begin with: its first sequence, its index, the ring. Used up.
        sequence: may lie within these runs.
        limit: 0 or less gives none.
    """
    # Runs of different topics never interleave, so the order of the runs is the order of their publications.
    heapify(begins)
    found: list[Publication] = []
    while begins and len(found) < limit:
        first_sequence, index, ring = begins[0]
        run = ring.run(index)
        assert run is not None
        skip = max(0, sequence + 1 - first_sequence)
        found += run.slice(skip, skip + limit - len(found))
        following = ring.run(index + 1)
        if following is None:
            heappop(begins)
        else:
            heapreplace(begins, (following.first_sequence, index + 1, ring))
    return found


def _discard(run: Run) -> None:
    """Deliver to nobody."""


def _name(info: TopicInfo) -> str:
    return info.topic


def _last_sequence(ring: Ring) -> int:
    return ring.last_sequence
