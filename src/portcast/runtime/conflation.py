"""What gave way to the newest of a key, told to clients that can be told: those whose encoding has ``conflated``.

The number grows while a newer publication takes the place of one that was not written. So the newest is encoded when it
is written and not before, for each slow client by itself, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, overload

from portcast.delivery import Batch, Encoding
from portcast.publication import Run

Make = Callable[[int], Batch]
"""Encodes a publication to which so many gave way."""


class TellsConflated(Encoding, Protocol):
    """An encoding that has a place for the number."""

    def conflated(self, run: Run, number: int) -> Batch:
        """Return a run of one, to which so many of its key gave way, for this kind of client."""
        ...


class LateItems(Sequence[object]):
    """The items of a batch, made when they are looked at."""

    __slots__ = ("_items", "_make", "number")

    def __init__(self, make: Make, number: int) -> None:
        self._make = make
        self._items: Sequence[object] | None = None
        self.number = number

    @property
    def is_made(self) -> bool:
        """True once they were looked at: they are written."""
        return self._items is not None

    def _made(self) -> Sequence[object]:
        if self._items is None:
            self._items = self._make(self.number).items
        return self._items

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._made())

    @overload
    def __getitem__(self, index: int) -> object: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[object]: ...
    def __getitem__(self, index: int | slice) -> object:
        """Return one of them, or some."""
        return self._made()[index]


class Conflation:
    """The newest of each key of one slow client. It remembers at most ``most`` keys, those that changed last."""

    __slots__ = ("_kept", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, LateItems] = {}

    def batch(self, key: str, run: Run, gave_way: int, encoding: TellsConflated) -> Batch:
        """Return the newest of a key as a batch.

        Args:
            key: of the publication, its topic included.
            run: the publication alone.
            gave_way: publications of the key that came with it and before it.
            encoding: the client's.
        """
        before = self._kept.pop(key, None)
        if before is not None and not before.is_made:
            gave_way += before.number + 1
        items = self._kept[key] = LateItems(lambda number: encoding.conflated(run, number), gave_way)
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return Batch(items, 1, len(run.payloads[0]))
