"""The ring: the retained publications of one topic.

Theory. What is retained is always an unbroken *suffix* of the topic's stream: eviction takes the oldest and nothing
else. So two numbers say it all::

    offset:   1 ……… evicted_offset | evicted_offset + 1 ……… last_offset
              gone for good        | retained, in the runs, oldest run first

* ``retained == last_offset - evicted_offset``, ``retained_bytes`` is the sum of their payloads, and
  ``0 <= evicted_offset <= last_offset``. Every offset up to ``last_offset`` is on exactly one side, so a gap can be
  counted exactly and is never silent.
* The publications are kept in the runs in which they came (cut at `RUN_PUBLICATIONS`), because then a batch costs a
  fixed number of Python steps: slices, `sum` and `map` do the rest. A run is dropped whole, or loses its head.
* Sequences are node-wide. Within a ring they rise with the offsets; within a run they are consecutive; and runs of
  different rings never interleave. The store relies on that to merge topics by sorting runs.
* A run's meta counts for ``charge`` once, as long as anything of the run is held.
* The lists of the runs are the ring's own: they are cut in place, which the hub's lists must never be.

The ring does not know other topics, the process budget or the clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from itertools import accumulate
from operator import attrgetter

from portcast.history.limits import HistoryLimits
from portcast.history.snapshot import RingState
from portcast.publication import Meta, Position, Publication, Run

RUN_PUBLICATIONS = 128
"""Longest run kept, so that cutting its head moves at most 1 KiB of pointers."""

PUBLICATION_OVERHEAD = 240
"""Bytes that a publication which came alone costs beside its payload, as tracemalloc saw it (344 for 100 bytes); one
that came in a batch costs a fifth. Without it, a million one-byte messages would pass as one megabyte."""

RING_OVERHEAD = 1024
"""Bytes that a topic with history costs beside its publications: mostly the first block of a deque, 624."""


_first_offset = attrgetter("first_offset")
_first_sequence = attrgetter("first_sequence")


class Ring:
    """Keeps the newest publications of one topic, within the limits per topic.

    Attributes:
        topic: the topic.
        epoch: the name of its numbering.
        first_sequence: sequence of offset 1; 0 before the first publication.
        last_offset: offset of the newest publication; 0 before the first.
        last_sequence: its sequence.
        published_at: when it was published, or when the ring was made.
        limits: how much is kept.
        evicted_offset: offset of the newest publication that is no longer held; 0 if all are.
        evicted_sequence: its sequence.
        newest: payload of the newest publication; None if it is not held.
        retained_bytes: payload bytes held.
        charge: bytes that this history counts for in the budget of the process; 0 when nothing is held.
    """

    __slots__ = (
        "_is_enabled",
        "_meta_bytes",
        "_runs",
        "charge",
        "epoch",
        "evicted_offset",
        "evicted_sequence",
        "first_sequence",
        "last_offset",
        "last_sequence",
        "limits",
        "newest",
        "published_at",
        "retained_bytes",
        "topic",
    )

    def __init__(self, topic: str, epoch: str, limits: HistoryLimits, now: float) -> None:
        self.topic = topic
        self.epoch = epoch
        self.limits = limits
        self._is_enabled = limits.is_enabled
        # The stream so far.
        self.first_sequence = 0
        self.last_offset = 0
        self.last_sequence = 0
        self.published_at = now
        # What is gone, and what is held. A topic that holds nothing has no deque: 100 000 of them would be 60 MB.
        self.evicted_offset = 0
        self.evicted_sequence = 0
        self._runs: deque[Run] | None = None
        self._meta_bytes = 0
        self.newest: bytes | None = None
        self.retained_bytes = 0
        self.charge = 0

    @classmethod
    def restored(cls, state: RingState, limits: HistoryLimits, now: float) -> Ring:
        """Return the ring that `state` was taken of, as far as its history is within ``limits``; its runs are taken."""
        ring = cls(state.topic, state.epoch, limits, state.published_at)
        ring.first_sequence, ring.last_sequence = state.first_sequence, state.last_sequence
        ring.last_offset = state.last_offset
        ring.evicted_offset, ring.evicted_sequence = state.evicted_offset, state.evicted_sequence
        if not ring._is_enabled or not state.runs:
            ring.clear()
            return ring
        ring._runs = deque(state.runs)
        ring.newest = state.runs[-1].payloads[-1]
        ring.retained_bytes = sum(_size(run.payloads) for run in state.runs)
        ring._meta_bytes = sum(run.meta.size for run in state.runs if run.meta is not None)
        if (excess := ring.retained - limits.publications) > 0:
            ring._evict(excess)
        ring._evict_bytes()
        ring._evict_old(now)
        ring._settle()
        return ring

    def state(self) -> RingState:
        """Return what `restored` needs. The runs are the ring's own, to be read at once."""
        return RingState(
            self.topic,
            self.epoch,
            self.first_sequence,
            self.last_offset,
            self.last_sequence,
            self.evicted_offset,
            self.evicted_sequence,
            self.published_at,
            tuple(self._runs or ()),
        )

    @property
    def retained(self) -> int:
        """How many publications are held."""
        return self.last_offset - self.evicted_offset

    @property
    def position(self) -> Position:
        """The position of the newest publication."""
        return Position(self.epoch, self.last_offset)

    def append(self, payloads: list[bytes], first_sequence: int, now: float, meta: Meta | None = None) -> None:
        """Number ``payloads`` and keep the newest of them that fit.

        A fixed number of Python steps and at most ``publications`` payloads touched, however long the batch.

        Args:
            payloads: consecutive messages, at least one; the list is copied, never kept.
            first_sequence: the sequence of the first, above all earlier ones; the others follow it without holes.
            now: the monotonic time.
            meta: of all of them.
        """
        count = len(payloads)
        limits = self.limits
        before, before_sequence = self.last_offset, self.last_sequence
        if not before:
            self.first_sequence = first_sequence
        self.last_offset = before + count
        self.last_sequence = first_sequence + count - 1
        self.published_at = now
        if not self._is_enabled:
            self.clear()
            return
        self.newest = payloads[-1]
        skipped = count - limits.publications
        if skipped >= 0:
            # The batch fills the ring alone: all that was held goes, and so does the batch's own head.
            if self._runs:
                self._runs.clear()
            self.retained_bytes = self._meta_bytes = 0
            self.evicted_offset = before + skipped
            self.evicted_sequence = first_sequence + skipped - 1 if skipped else before_sequence
            self._add(payloads[skipped:], before + skipped + 1, first_sequence + skipped, now, meta)
        else:
            self._add(payloads[:], before + 1, first_sequence, now, meta)
            excess = self.last_offset - self.evicted_offset - limits.publications
            if excess > 0:
                self._evict(excess)
        if self._runs and self._runs[0].at < now - limits.age_s:
            self._evict_old(now)
        if self.retained_bytes > limits.topic_bytes:
            self._evict_bytes()
        self._settle()

    def expire(self, now: float) -> None:
        """Let go of publications that are older than the limit; what is exactly as old stays."""
        if self._runs and self._runs[0].at < now - self.limits.age_s:
            self._evict_old(now)
            self._settle()

    def clear(self) -> None:
        """Let go of every retained publication; the numbering goes on."""
        self._runs = self.newest = None
        self.retained_bytes = self._meta_bytes = 0
        self.charge = 0
        self.evicted_offset = self.last_offset
        self.evicted_sequence = self.last_sequence

    def shrink(self, charge: int) -> None:
        """Let go of the oldest runs until `charge` is at most ``charge``."""
        while self._runs and self.charge > charge:
            self._evict(len(self._runs[0].payloads))
            self._settle()

    def read(self, since: Position | None, limit: int, *, is_reverse: bool) -> list[Publication]:
        """Return up to ``limit`` retained publications; call `expire` first.

        Args:
            since: only those after this position, oldest first (in reverse: before it, newest first); None for all.
                A position of another epoch gives none.
            limit: 0 or less gives none.
            is_reverse: newest first.
        """
        if since is not None and since.epoch != self.epoch:
            return []
        if not is_reverse:
            return self.after(since.offset if since else 0, limit)
        end = self.last_offset if since is None else min(since.offset - 1, self.last_offset)
        start = max(self.evicted_offset, end - max(limit, 0))
        return self.after(start, end - start)[::-1]

    def after(self, offset: int, limit: int) -> list[Publication]:
        """Return the oldest ``limit`` retained publications after ``offset``, oldest first."""
        runs = self._runs or ()
        found: list[Publication] = []
        for index in range(max(0, bisect_right(runs, offset, key=_first_offset) - 1), len(runs)):
            if len(found) >= limit:
                break
            run = runs[index]
            skip = max(0, offset + 1 - run.first_offset)
            found += run.slice(skip, skip + limit - len(found))
        return found

    def runs_after(self, sequence: int) -> list[Run]:
        """Return the retained runs with publications after ``sequence``, newest first.

        The last one may begin at or before ``sequence``. The runs are the ring's own: to be read at once.
        """
        found: list[Run] = []
        for run in reversed(self._runs or ()):
            if run.first_sequence + len(run.payloads) <= sequence + 1:
                break
            found.append(run)
        return found

    def place_after(self, sequence: int) -> tuple[int, int]:
        """Return where retained publications after ``sequence`` begin, and how many they are, without visiting them.

        Returns:
            The index of the first `run` that has some, which may begin at or before ``sequence``, and their number;
            if that is 0 the index is past the last run.
        """
        runs = self._runs or ()
        index = bisect_right(runs, sequence, key=_first_sequence) - 1
        if index < 0:
            return 0, self.retained
        run = runs[index]
        inside = sequence + 1 - run.first_sequence
        if inside >= len(run.payloads):
            index, inside = index + 1, len(run.payloads)
        return index, self.last_offset - (run.first_offset + inside - 1)

    def run(self, index: int) -> Run | None:
        """Return a retained run by its index, 0 for the oldest, or None past the newest; to be read at once."""
        runs = self._runs
        return runs[index] if runs is not None and index < len(runs) else None

    def missed_after_sequence(self, sequence: int) -> tuple[int, bool]:
        """Return how many publications after ``sequence`` are no longer held, and whether that is exact.

        The ring does not remember the sequence of every evicted offset, only of the first and of the last. Between
        them it gives the number that is certain.
        """
        if self.evicted_sequence <= sequence:
            return 0, True
        if self.first_sequence > sequence:
            return self.evicted_offset, True
        # Offset 1 is at or before the sequence, so it is not missed; the last evicted one is.
        at_most = min(self.evicted_offset - 1, self.evicted_sequence - sequence)
        # Sequences between the position and the last evicted one that were certainly not other topics': if the
        # evicted offsets before the position cannot fill the sequences up to it, some of them lie after it.
        at_least = max(1, self.evicted_offset - (sequence - self.first_sequence + 1))
        return at_least, at_least == at_most

    def _add(
        self, payloads: list[bytes], first_offset: int, first_sequence: int, now: float, meta: Meta | None
    ) -> None:
        """Take ``payloads``, a list of the ring's own, as the newest runs."""
        runs = self._runs
        if runs is None:
            runs = self._runs = deque()
        if meta is not None:
            self._meta_bytes += meta.size * -(-len(payloads) // RUN_PUBLICATIONS)
        if len(payloads) <= RUN_PUBLICATIONS:
            runs.append(Run(self.topic, self.epoch, first_offset, first_sequence, now, payloads, meta))
        else:
            for start in range(0, len(payloads), RUN_PUBLICATIONS):
                piece = payloads[start : start + RUN_PUBLICATIONS]
                runs.append(Run(self.topic, self.epoch, first_offset + start, first_sequence + start, now, piece, meta))
        self.retained_bytes += _size(payloads)

    def _evict(self, count: int) -> None:
        """Let go of the oldest ``count`` publications, at most as many as are held."""
        runs = self._runs
        assert runs is not None
        self.evicted_offset += count
        while count:
            oldest = runs[0]
            payloads = oldest.payloads
            held = len(payloads)
            if held <= count:
                runs.popleft()
                self.retained_bytes -= _size(payloads)
                self.evicted_sequence = oldest.first_sequence + held - 1
                if oldest.meta is not None:
                    self._meta_bytes -= oldest.meta.size
                count -= held
            else:
                self.retained_bytes -= _size(payloads[:count])
                del payloads[:count]
                oldest.first_offset += count
                oldest.first_sequence += count
                self.evicted_sequence = oldest.first_sequence - 1
                return

    def _evict_old(self, now: float) -> None:
        runs = self._runs
        horizon = now - self.limits.age_s
        while runs and runs[0].at < horizon:
            self._evict(len(runs[0].payloads))

    def _evict_bytes(self) -> None:
        """Let go of as few of the oldest as bring the payload bytes within the limit."""
        runs = self._runs
        assert runs is not None
        while (excess := self.retained_bytes - self.limits.topic_bytes) > 0:
            payloads = runs[0].payloads
            if len(payloads[0]) >= excess:
                self._evict(1)
                continue
            sizes = accumulate(map(len, payloads))
            self._evict(min(bisect_left(list(sizes), excess) + 1, len(payloads)))

    def _settle(self) -> None:
        """Bring the charge up to date after a change."""
        held = self.last_offset - self.evicted_offset
        if held:
            self.charge = self.retained_bytes + self._meta_bytes + held * PUBLICATION_OVERHEAD + RING_OVERHEAD
        else:
            self._runs = self.newest = None
            self.charge = 0


def _size(payloads: list[bytes]) -> int:
    # One payload at a time is as common as a batch, and setting up `map` costs more than the rest.
    return len(payloads[0]) if len(payloads) == 1 else sum(map(len, payloads))
