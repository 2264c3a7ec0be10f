"""The flight recorder's memory: the newest frames of each subject, bounded for each and for all together.

A *subject* is whose frames they are: ``devices/<id>``, or ``connections/<id>`` while a connection has no device, or has
several. All entries of a log have one sequence of *numbers*, so frames of several subjects can be put in order, and a
reader that knows the last number it has seen can ask for what follows.

* A subject holds at most ``max_bytes``; all together hold at most ``total_bytes`` and `MAX_SUBJECTS` subjects. Past
  that the oldest goes: of the subject, of all, and the subject that has been silent longest. What went is counted.
* A frame older than ``age_s`` is gone with the next `FlightLog.expire`.
* A subject that is faster than ``max_rate`` is recorded in part. The next entry says how many frames are missing before
  it (`Recorded.skipped`), and the subject counts them. Only frames are limited: what happens once in the life of a
  connection always has room.

Bytes are those of the kept payloads and details, and `ENTRY_BYTES` for each entry.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from typing import Literal

from portcast.recorder.options import RecorderOptions
from portcast.types import ConnectionId, ListenerName

EntryKind = Literal["in", "out", "refused", "opened", "rejected", "closed"]
"""``in`` and ``out``: a frame; ``refused``: bytes in which the framing found an error; ``opened``, ``closed``: of the
connection, with its peer or the reason; ``rejected``: the frame before it was refused by the codec."""

ENTRY_BYTES = 450
"""What an entry costs beside its payload. Measured on CPython 3.11: 355 to 410."""

MAX_SUBJECTS = 1000
"""Devices and connections of which something is kept."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One entry.

    Attributes:
        number: its place in the log; the next entry, of whatever subject, has the next number.
        at: when, monotonic seconds.
        kind: what it is.
        subject: whose it is.
        connection: on which connection.
        listener: of which listener.
        data: the frame as it may be shown, without what was redacted and what was too much; empty where there is none.
        size: bytes of the whole frame.
        is_redacted: True if something was taken out.
        is_truncated: True if ``data`` is only the beginning of what may be shown.
        skipped: frames of this subject right before it that were too fast to be recorded.
        detail: why, in words: the framing's or the codec's sentence, the reason of the end, the peer.
    """

    number: int
    at: float
    kind: EntryKind
    subject: str
    connection: ConnectionId
    listener: ListenerName
    data: bytes
    size: int
    is_redacted: bool
    is_truncated: bool
    skipped: int
    detail: str

    @property
    def cost(self) -> int:
        """The bytes that it counts for."""
        return len(self.data) + len(self.detail) + ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class SubjectInfo:
    """What is kept of one subject.

    Attributes:
        subject: which.
        entries: how many.
        bytes: what they count for.
        skipped: frames that were too fast, since its first entry.
        evicted: entries that had to give way or were too old, since its first entry.
        last_at: when its newest entry was made; monotonic seconds.
    """

    subject: str
    entries: int
    bytes: int
    skipped: int
    evicted: int
    last_at: float


class _Subject:
    __slots__ = ("allowance", "bytes", "evicted", "last_at", "numbers", "skipped", "skipped_now", "told_at")

    def __init__(self, allowance: float, now: float) -> None:
        self.numbers: deque[int] = deque()
        self.bytes = 0
        self.skipped = 0
        self.skipped_now = 0
        self.evicted = 0
        self.last_at = now
        # Frames that may be recorded at once; it grows with time up to a second's worth.
        self.allowance = allowance
        self.told_at = now


class FlightLog:
    """See the theory on top of the module."""

    __slots__ = ("_entries", "_names", "_next", "_options", "_subjects", "bytes")

    def __init__(self, options: RecorderOptions) -> None:
        self._options = options
        # By number; the oldest are in front, so the end of the order is what goes first.
        self._entries: OrderedDict[int, Recorded] = OrderedDict()
        # Those that were silent longest are in front.
        self._subjects: OrderedDict[str, _Subject] = OrderedDict()
        self._names: list[str] = []
        self._next = 1
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def last_number(self) -> int:
        """The number of the newest entry there ever was; 0 before the first."""
        return self._next - 1

    def admits(self, subject: str, now: float) -> bool:
        """Return True if one more frame of a subject may be recorded now; count it as skipped otherwise."""
        one = self._subjects.get(subject) or self._new(subject, now)
        rate = float(self._options.max_rate)
        one.allowance = min(rate, one.allowance + max(0.0, now - one.told_at) * rate)
        one.told_at = now
        if one.allowance < 1:
            one.skipped += 1
            one.skipped_now += 1
            return False
        one.allowance -= 1
        return True

    def add(
        self,
        subject: str,
        now: float,
        kind: EntryKind,
        connection: ConnectionId,
        listener: ListenerName,
        *,
        data: bytes = b"",
        size: int = 0,
        is_redacted: bool = False,
        detail: str = "",
    ) -> Recorded:
        """Record an entry and return it; for a frame, ask `admits` first.

        Args:
            subject: whose it is.
            now: the time.
            kind: what it is.
            connection: on which connection.
            listener: of which listener.
            data: as it may be shown.
            size: bytes of the whole frame.
            is_redacted: True if something was taken out.
            detail: in words; the first 500 characters are kept.
        """
        one = self._subjects.get(subject) or self._new(subject, now)
        most = self._options.max_frame_bytes
        entry = Recorded(
            self._next,
            now,
            kind,
            subject,
            connection,
            listener,
            data[:most],
            size,
            is_redacted,
            len(data) > most,
            one.skipped_now,
            detail[:500],
        )
        self._next += 1
        one.skipped_now = 0
        one.last_at = now
        self._subjects.move_to_end(subject)
        self._entries[entry.number] = entry
        one.numbers.append(entry.number)
        one.bytes += entry.cost
        self.bytes += entry.cost
        self._shrink(one)
        return entry

    def move(self, source: str, target: str, now: float) -> list[Recorded]:
        """Give the entries of a subject to another, which may have some already; return them as they are now."""
        old = self._subjects.get(source)
        if old is None or source == target:
            return []
        new = self._subjects.get(target) or self._new(target, now)
        moved = [replace(self._entries[number], subject=target) for number in old.numbers]
        for entry in moved:
            self._entries[entry.number] = entry  # its place in the order stays
        new.numbers = deque(merge(new.numbers, old.numbers))
        new.allowance = min(new.allowance, old.allowance)
        new.bytes += old.bytes
        new.skipped += old.skipped
        new.skipped_now += old.skipped_now
        new.evicted += old.evicted
        new.last_at = max(new.last_at, old.last_at)
        self._forget(source)
        self._shrink(new)
        return [entry for entry in moved if entry.number in self._entries]

    def drop(self, subject: str) -> int:
        """Forget a subject and its entries; return how many these were."""
        one = self._subjects.get(subject)
        if one is None:
            return 0
        for number in one.numbers:
            self.bytes -= self._entries.pop(number).cost
        self._forget(subject)
        return len(one.numbers)

    def expire(self, now: float) -> None:
        """Drop what is too old, and subjects of which nothing is left."""
        since = now - self._options.age_s
        while self._entries and next(iter(self._entries.values())).at <= since:
            self._remove_oldest()
        for name, one in list(self._subjects.items()):
            if not one.numbers and one.last_at <= since:
                self._forget(name)

    def next_expiry(self) -> float | None:
        """Return when the next entry, or the next subject without one, is too old; None if there is none."""
        if not self._subjects:
            return None
        first = next(iter(self._entries.values())).at if self._entries else None
        silent = next(iter(self._subjects.values())).last_at
        return (silent if first is None else min(first, silent)) + self._options.age_s

    # Looking

    def info(self, subject: str) -> SubjectInfo | None:
        """Return what is kept of a subject; None if it is not there."""
        one = self._subjects.get(subject)
        if one is None:
            return None
        return SubjectInfo(subject, len(one.numbers), one.bytes, one.skipped, one.evicted, one.last_at)

    def subjects(self, after: str = "", limit: int = 100) -> list[SubjectInfo]:
        """Return subjects in the order of their names, those behind ``after``."""
        begin = bisect_right(self._names, after) if after else 0
        found = (self.info(name) for name in self._names[begin : begin + limit])
        return [one for one in found if one is not None]

    def page(self, subjects: Iterable[str] | None, after: int = 0, limit: int = 100) -> list[Recorded]:
        """Return entries in the order of their numbers.

        Args:
            subjects: whose; None for all.
            after: only entries with a greater number.
            limit: at most so many.
        """
        return list(islice(self._numbered(subjects, after), limit))

    def _numbered(self, subjects: Iterable[str] | None, after: int) -> Iterator[Recorded]:
        if subjects is None:
            # Moved entries kept their places, so the order is that of the numbers.
            yield from (entry for number, entry in self._entries.items() if number > after)
            return
        found = (self._subjects[name].numbers for name in subjects if name in self._subjects)
        yield from (self._entries[number] for number in merge(*found) if number > after)

    # Making room

    def _new(self, subject: str, now: float) -> _Subject:
        if len(self._subjects) >= MAX_SUBJECTS:
            self.drop(next(iter(self._subjects)))
        one = self._subjects[subject] = _Subject(float(self._options.max_rate), now)
        insort(self._names, subject)
        return one

    def _forget(self, subject: str) -> None:
        del self._subjects[subject]
        del self._names[bisect_right(self._names, subject) - 1]

    def _shrink(self, one: _Subject) -> None:
        while one.bytes > self._options.max_bytes and len(one.numbers) > 1:
            self._remove(one.numbers.popleft(), one)
        while self.bytes > self._options.total_bytes and len(self._entries) > 1:
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        entry = next(iter(self._entries.values()))
        one = self._subjects[entry.subject]
        one.numbers.popleft()
        self._remove(entry.number, one)

    def _remove(self, number: int, one: _Subject) -> None:
        cost = self._entries.pop(number).cost
        one.bytes -= cost
        one.evicted += 1
        self.bytes -= cost
