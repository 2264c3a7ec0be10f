"""Encodes what a flush delivers: each run once per encoding, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from portcast.delivery import Batch, Encoding, Newest, newest_per_key
from portcast.publication import Run
from portcast.runtime.audience import Topic

if TYPE_CHECKING:
    from portcast.runtime.subscriber import Subscriber


class EncodedRun:
    """A run with its encoded forms, made when they are first asked for."""

    __slots__ = ("_batches", "_indices", "_newest", "run", "topic")

    def __init__(self, run: Run, topic: Topic) -> None:
        self.run = run
        self.topic = topic
        self._batches: dict[int, Batch] = {}
        self._newest: dict[tuple[int, bool], dict[str, Batch]] | None = None
        self._indices: dict[bool, dict[str, Newest]] | None = None

    def batch(self, encoding: Encoding) -> Batch:
        """Return the whole run for one encoding."""
        batch = self._batches.get(id(encoding))
        if batch is None:
            batch = self._batches[id(encoding)] = encoding.encode(self.run)
        return batch

    def newest(self, encoding: Encoding, *, is_per_key: bool) -> dict[str, Batch]:
        """Return the newest publication of each key, each as a batch of its own, for subscribers that conflate."""
        if self._newest is None:
            self._newest = {}
        cached = self._newest.get((id(encoding), is_per_key))
        if cached is None:
            indices = self.indices(is_per_key=is_per_key)
            cached = {key: encoding.encode(self.run.only(one.at)) for key, one in indices.items()}
            self._newest[id(encoding), is_per_key] = cached
        return cached

    def indices(self, *, is_per_key: bool) -> dict[str, Newest]:
        """Return where the newest publication of each key is."""
        if self._indices is None:
            self._indices = {}
        found = self._indices.get(is_per_key)
        if found is None:
            found = newest_per_key(self.run.payloads, self.topic.key if is_per_key else "")
            self._indices[is_per_key] = found
        return found


class Joined:
    """Encoded runs that go to the same subscribers, joined once per encoding."""

    __slots__ = ("_joined", "runs")

    def __init__(self, runs: Sequence[EncodedRun]) -> None:
        self.runs = runs
        self._joined: dict[int, Batch] = {}

    def batch(self, encoding: Encoding) -> Batch:
        """Return all runs for one encoding as one batch."""
        batch = self._joined.get(id(encoding))
        if batch is None:
            batches = [one.batch(encoding) for one in self.runs]
            batch = batches[0] if len(batches) == 1 else encoding.join(batches)
            self._joined[id(encoding)] = batch
        return batch


def grouped(runs: Sequence[EncodedRun]) -> Iterable[tuple[Joined, Iterable[Subscriber]]]:
    """Yield what is to be delivered and to whom, so that each subscriber comes once and gets all its runs in order."""
    audience = runs[0].topic.audience
    if all(one.topic.audience is audience for one in runs):
        yield Joined(runs), audience
        return
    # Whoever gets the same runs gets the same joined batch. A run is named by its index.
    wanted: dict[Subscriber, list[int]] = {}
    for index, one in enumerate(runs):
        for subscriber in one.topic.audience:
            wanted.setdefault(subscriber, []).append(index)
    groups: dict[tuple[int, ...], list[Subscriber]] = {}
    for subscriber, indices in wanted.items():
        groups.setdefault(tuple(indices), []).append(subscriber)
    for group, subscribers in groups.items():
        yield Joined([runs[index] for index in group]), subscribers
