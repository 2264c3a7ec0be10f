"""Deadlines of many things, of which most end before theirs.

A heap with the earliest in front. A thing that ends leaves its entry behind, which is passed over later; when more than
half of the heap is such entries it is built anew, so a day's lifetime of commands that were answered within a second
does not fill the memory.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SMALL = 64
"""A heap of this size is never worth building anew."""


class Deadlines(Generic[K]):
    """At most one deadline for each key."""

    __slots__ = ("_at", "_heap", "_sequence")

    def __init__(self) -> None:
        self._at: dict[K, tuple[float, int]] = {}
        # The number breaks ties in the order of setting, and keeps keys from being compared.
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: float) -> None:
        """Give ``key`` the deadline ``at``; it replaces the one that it had."""
        self._sequence += 1
        self._at[key] = (at, self._sequence)
        heapq.heappush(self._heap, (at, self._sequence, key))
        if len(self._heap) > _SMALL + 2 * len(self._at):
            self._heap = [(at, number, key) for key, (at, number) in self._at.items()]
            heapq.heapify(self._heap)

    def clear(self, key: K) -> None:
        """Take the deadline of ``key`` away, if it has one."""
        self._at.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest deadline; None if there is none."""
        self._skip()
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[K]:
        """Take away and return the keys whose deadline is not after ``now``, earliest first."""
        keys = []
        self._skip()
        while self._heap and self._heap[0][0] <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._at[key]
            keys.append(key)
            self._skip()
        return keys

    def _skip(self) -> None:
        """Drop what ended from the front."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
